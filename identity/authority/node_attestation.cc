#include "identity/authority/node_attestation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/base/logging.h"

namespace lanyard {

absl::StatusOr<std::vector<Certificate>> NodeAttestation::Attest(const std::string& join_token,
                                                                 absl::string_view csr_der) {
  absl::StatusOr<SpiffeId> agent = registry_.AgentOfToken(join_token);
  if (!agent.ok()) return RefuseToken("", agent.status());
  absl::StatusOr<std::vector<Certificate>> chain = issuer_.SignNode(*agent, csr_der);
  if (!chain.ok()) return chain.status();
  // Another caller may have spent it meanwhile: then this SVID is thrown away, unseen.
  if (absl::Status recorded = registry_.AttestNode(join_token, *agent, chain->front()); !recorded.ok()) {
    return RefuseToken(agent->ToString(), std::move(recorded));
  }
  Log(LogLevel::kInfo, "attested a node",
      {{"agent_id", agent->ToString()}, {"attestation", "join_token"}, {"serial", chain->front().serial()}});
  return chain;
}

absl::Status NodeAttestation::RefuseToken(const std::string& agent_id, absl::Status reason) {
  absl::MutexLock lock(&log_mutex_);
  if (refusals_.Allow(SystemClock().Monotonic())) {
    Log(LogLevel::kWarning, "refused an attestation",
        {{"agent_id", agent_id}, {"reason", reason}, {"suppressed", refusals_.suppressed()}});
  }
  return reason;
}

absl::StatusOr<std::vector<Certificate>> NodeAttestation::Renew(const SpiffeId& node, absl::string_view csr_der) {
  absl::StatusOr<std::vector<Certificate>> chain = issuer_.SignNode(node, csr_der);
  if (!chain.ok()) return chain.status();
  absl::Status recorded = registry_.RenewNode(node, chain->front());
  if (absl::IsNotFound(recorded)) {
    return absl::PermissionDeniedError(
        absl::StrCat(node.ToString(), " was deleted; attest it again with a join token"));
  }
  // The node is known; only the note of its newest serial is missing. A full disk must not end every node.
  if (!recorded.ok()) {
    Log(LogLevel::kError, "cannot record a renewed node SVID", {{"agent_id", node.ToString()}, {"reason", recorded}});
  }
  return chain;
}

absl::StatusOr<SpiffeId> NodeAttestation::Recognise(const std::optional<VerifiedSvid>& peer) {
  if (!peer) {
    return absl::UnauthenticatedError("this call needs a node SVID; attest with a join token first");
  }
  if (peer->id.trust_domain() != registry_.trust_domain() || !IsAgentId(peer->id)) {
    return absl::PermissionDeniedError(absl::StrCat(peer->id.ToString(), " is not an agent's SPIFFE ID"));
  }
  if (absl::Status allowed = mesh_.CheckAgent(peer->id, peer->serial); !allowed.ok()) return allowed;
  const absl::StatusOr<Node> node = registry_.GetNode(peer->id);
  if (absl::IsNotFound(node.status())) {
    return absl::PermissionDeniedError(
        absl::StrCat(peer->id.ToString(), " is not, or no longer, registered; attest it again with a join token"));
  }
  if (!node.ok()) return node.status();
  // Of the path, that is of the leaf: the issuer lets none begin before what signs it.
  if (peer->not_before < node->min_not_before) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the SVID ", peer->serial, " of ", peer->id.ToString(), " is older than the node's last attestation, at ",
        absl::FormatTime(node->attested_at, absl::UTCTimeZone()),
        "; if this is the right node, attest it again with a join token"));
  }
  return node->id;
}

}  // namespace lanyard
