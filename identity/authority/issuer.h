// Signs X.509-SVIDs with the active intermediate. Every name comes from the caller's entry or node, never
// from the request.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/authority/ca_hierarchy.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/registry/entry.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// Thread-safe. Borrows the clock and randomness.
class Issuer {
 public:
  struct Lifetimes {
    absl::Duration x509_svid = absl::Hours(1);
    absl::Duration node_svid = absl::Hours(1);
    absl::Duration backdate = absl::Seconds(10);
  };
  using Hierarchy = std::function<std::shared_ptr<const CaHierarchy>()>;
  // Whether an SVID may be issued to this ID now: not to who is banned (MeshRegistry::CheckIssuing).
  using Permission = std::function<absl::Status(const SpiffeId& id)>;
  Issuer(Hierarchy hierarchy, Permission permission, Lifetimes lifetimes, const Clock& clock, Random& random);

  // The chain, leaf first, without the root. `csr_der` is untrusted: InvalidArgument when malformed, badly
  // signed or weak; what the permission says. Unavailable before there is an intermediate, FailedPrecondition while it
  // is not valid by the clock. The lifetime is the entry's or the default one, never beyond the intermediate's.
  absl::StatusOr<std::vector<Certificate>> SignWorkload(const Entry& entry, absl::string_view csr_der) const;
  absl::StatusOr<std::vector<Certificate>> SignNode(const SpiffeId& agent, absl::string_view csr_der) const;
  // How long an SVID of this entry lives, but for the intermediate's end.
  absl::Duration LifetimeOf(const Entry& entry) const;
  // The authority's own SVID, spiffe://<td>/lanyard/authority, with a new key; as long as a node's.
  absl::StatusOr<X509Svid> MakeOwnSvid() const;

 private:
  absl::StatusOr<std::vector<Certificate>> SignCsr(const SpiffeId& id, absl::string_view csr_der,
                                                   absl::Duration lifetime,
                                                   const std::vector<std::string>& dns_names) const;
  absl::StatusOr<std::vector<Certificate>> SignKey(const SpiffeId& id, EVP_PKEY* key, absl::Duration lifetime,
                                                   const std::vector<std::string>& dns_names) const;
  const Hierarchy hierarchy_;
  const Permission permission_;
  const Lifetimes lifetimes_;
  const Clock& clock_;
  Random& random_;
};

// spiffe://<td>/lanyard/authority.
SpiffeId AuthorityId(const TrustDomain& trust_domain);

}  // namespace lanyard
