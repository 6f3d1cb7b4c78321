#include "identity/workload/svid_response_proto.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "identity/base/secret.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/usable_bundle.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

absl::Status Refuse(absl::string_view what, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the Workload API's message is refused: ", what, ": ", why));
}

absl::Status AddBundle(WorkloadIdentity& identity, const TrustDomain& trust_domain, const std::string& der) {
  absl::StatusOr<UsableBundle> read = ReadUsableBundleDer(trust_domain, Bytes(der));
  if (!read.ok()) return Refuse(absl::StrCat("the bundle of ", trust_domain.name()), read.status().message());
  if (const X509Bundle* known = identity.bundles.Find(trust_domain)) {
    if (*known == read->bundle) return absl::OkStatus();
    return Refuse(absl::StrCat("the bundle of ", trust_domain.name()), "it is given twice, with different authorities");
  }
  identity.bundles.Set(std::move(read->bundle));
  identity.left_out.insert(identity.left_out.end(), read->left_out.begin(), read->left_out.end());
  return absl::OkStatus();
}

absl::StatusOr<X509Svid> ParseSvid(const X509SVID& message) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(message.spiffe_id());
  if (!id.ok()) return id.status();
  absl::StatusOr<std::vector<Certificate>> chain = Certificate::ParseConcatenatedDer(Bytes(message.x509_svid()));
  if (!chain.ok()) return chain.status();
  absl::StatusOr<PrivateKey> key = PrivateKey::ParsePkcs8Der(Bytes(message.x509_svid_key()));
  if (!key.ok()) return key.status();
  absl::StatusOr<X509Svid> svid = X509Svid::Create(*std::move(chain), *std::move(key), message.hint());
  if (svid.ok() && !(svid->id() == *id)) {
    return absl::InvalidArgumentError(absl::StrCat("its certificate says ", svid->id().ToString()));
  }
  return svid;
}

absl::Status AddSvid(WorkloadIdentity& identity, const X509SVID& message) {
  if (message.spiffe_id().empty() || message.x509_svid().empty() || message.x509_svid_key().empty() ||
      message.bundle().empty()) {
    return Refuse(message.spiffe_id(), "spiffe_id, x509_svid, x509_svid_key and bundle are all mandatory");
  }
  absl::StatusOr<X509Svid> svid = ParseSvid(message);
  if (!svid.ok()) return Refuse(message.spiffe_id(), svid.status().message());
  const absl::Status added = AddBundle(identity, svid->id().trust_domain(), message.bundle());
  if (added.ok()) identity.svids.push_back(*std::move(svid));
  return added;
}

// Whoever runs another trust domain must not decide whether this workload has an identity.
absl::Status AddFederated(WorkloadIdentity& identity, const std::string& key, const std::string& der) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(key);
  if (!id.ok() || id->has_path()) {
    return Refuse("a federated bundle", absl::StrCat("\"", key, "\" is no trust domain ID"));
  }
  const absl::Status added = AddBundle(identity, id->trust_domain(), der);
  if (!added.ok()) identity.left_out.push_back(std::string(added.message()));
  return absl::OkStatus();
}

absl::StatusOr<WorkloadIdentity> Parse(const X509SVIDResponse& response) {
  if (response.svids().empty()) return Refuse("svids", "there is none");
  WorkloadIdentity identity;
  absl::flat_hash_set<std::string> hints;
  for (const X509SVID& message : response.svids()) {
    if (!message.hint().empty() && !hints.insert(message.hint()).second) continue;
    if (absl::Status status = AddSvid(identity, message); !status.ok()) return status;
  }
  for (const auto& [key, der] : response.federated_bundles()) {
    if (absl::Status status = AddFederated(identity, key, der); !status.ok()) return status;
  }
  return identity;
}

}  // namespace

absl::StatusOr<WorkloadIdentity> ParseSvidResponse(X509SVIDResponse& response) {
  absl::StatusOr<WorkloadIdentity> identity = Parse(response);
  for (X509SVID& svid : *response.mutable_svids()) {
    std::string& key = *svid.mutable_x509_svid_key();
    Cleanse(absl::MakeSpan(reinterpret_cast<uint8_t*>(key.data()), key.size()));
    key.clear();
  }
  return identity;
}

}  // namespace lanyard
