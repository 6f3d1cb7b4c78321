#include "identity/authority/authority_proto.h"

namespace lanyard {
namespace v1 = authority::v1;

v1::Entry EntryToProto(const Entry& entry) {
  v1::Entry message;
  message.set_id(entry.id());
  message.set_spiffe_id(entry.spiffe_id().ToString());
  for (const Selector& selector : entry.selectors()) message.add_selectors(selector.ToString());
  message.set_x509_svid_ttl_seconds(absl::ToInt64Seconds(entry.x509_svid_ttl()));
  for (const std::string& name : entry.dns_names()) message.add_dns_names(name);
  message.set_hint(entry.hint());
  return message;
}

v1::Svid SvidToProto(const std::vector<Certificate>& chain) {
  v1::Svid message;
  for (const Certificate& certificate : chain) message.add_chain(certificate.der());
  return message;
}

v1::Bundle BundleToProto(const X509Bundle& bundle) {
  v1::Bundle message;
  message.set_trust_domain(bundle.trust_domain().name());
  for (const Certificate& root : bundle.authorities()) message.add_authorities(root.der());
  return message;
}

}  // namespace lanyard
