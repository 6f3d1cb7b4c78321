// Who is a node: trades join tokens for node SVIDs, renews them, and recognises a node by the SVID of its connection.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "identity/authority/issuer.h"
#include "identity/channel/log_limit.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/verify.h"

namespace lanyard {

// Thread-safe. Borrows all three.
class NodeAttestation {
 public:
  NodeAttestation(Registry& registry, const MeshRegistry& mesh, const Issuer& issuer)
      : registry_(registry), mesh_(mesh), issuer_(issuer) {}

  // A node SVID for an unused token. The request is checked before the token is spent; of several callers
  // with one token exactly one gets an SVID. PermissionDenied: unknown, used or expired token. Anybody may try:
  // refusals are logged once a second at most.
  absl::StatusOr<std::vector<Certificate>> Attest(const std::string& join_token, absl::string_view csr_der);
  // `node` is what Recognise returned. PermissionDenied when it was deleted meanwhile; a failing store
  // is logged and does not keep the node from being renewed.
  absl::StatusOr<std::vector<Certificate>> Renew(const SpiffeId& node, absl::string_view csr_der);

  // The node behind a verified connection. Unauthenticated without an SVID; PermissionDenied when it is no node's,
  // or the node's that the registry does not, or no longer, know, or one that is banned, or older than the node's last
  // attestation: who deletes a node whose key was stolen, and attests it again, is rid of the thief.
  absl::StatusOr<SpiffeId> Recognise(const std::optional<VerifiedSvid>& peer);

 private:
  absl::Status RefuseToken(const std::string& agent_id, absl::Status reason);

  Registry& registry_;
  const MeshRegistry& mesh_;
  const Issuer& issuer_;
  absl::Mutex log_mutex_;
  LogLimit refusals_ ABSL_GUARDED_BY(log_mutex_);
};

}  // namespace lanyard
