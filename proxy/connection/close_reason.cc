#include "proxy/connection/close_reason.h"

#include <iterator>

namespace lanyard {
namespace {

struct Named {
  CloseReason reason;
  absl::string_view name;
};

constexpr Named kNames[] = {
    {CloseReason::kNormal, "normal"},
    {CloseReason::kAppReset, "app_reset"},
    {CloseReason::kPeerReset, "peer_reset"},
    {CloseReason::kPeerRefused, "peer_refused"},
    {CloseReason::kConnectRefused, "connect_refused"},
    {CloseReason::kConnectTimeout, "connect_timeout"},
    {CloseReason::kConnectUnreachable, "connect_unreachable"},
    {CloseReason::kConnectFailed, "connect_failed"},
    {CloseReason::kHandshakeFailed, "handshake_failed"},
    {CloseReason::kHandshakeTimeout, "handshake_timeout"},
    {CloseReason::kNoPeerCertificate, "no_peer_certificate"},
    {CloseReason::kSvidMalformed, "svid_malformed"},
    {CloseReason::kNoSpiffeId, "no_spiffe_id"},
    {CloseReason::kSeveralUriNames, "several_uri_names"},
    {CloseReason::kCaAsLeaf, "ca_as_leaf"},
    {CloseReason::kBadKeyUsage, "bad_key_usage"},
    {CloseReason::kWeakKey, "weak_key"},
    {CloseReason::kUnknownTrustDomain, "unknown_trust_domain"},
    {CloseReason::kSvidNotYetValid, "svid_not_yet_valid"},
    {CloseReason::kSvidExpired, "svid_expired"},
    {CloseReason::kUntrusted, "untrusted"},
    {CloseReason::kPeerNotExpected, "peer_not_expected"},
    {CloseReason::kDeniedByPolicy, "denied_by_policy"},
    {CloseReason::kPlaintextRefused, "plaintext_refused"},
    {CloseReason::kRouteRefused, "route_refused"},
    {CloseReason::kIdentityWithdrawn, "identity_withdrawn"},
    {CloseReason::kLoopDetected, "loop_detected"},
    {CloseReason::kMisdirected, "misdirected"},
    {CloseReason::kProxyHeaderUntrusted, "proxy_header_untrusted"},
    {CloseReason::kProxyHeaderInvalid, "proxy_header_invalid"},
    {CloseReason::kProxyHeaderTimeout, "proxy_header_timeout"},
    {CloseReason::kBanned, "banned"},
    {CloseReason::kPolicyChanged, "policy_changed"},
    {CloseReason::kBundleChanged, "bundle_changed"},
    {CloseReason::kSvidExpiredWhileOpen, "svid_expired_while_open"},
    {CloseReason::kReauthenticationFailed, "reauthentication_failed"},
    {CloseReason::kCarryOverTimeout, "carry_over_timeout"},
    {CloseReason::kLimitConnections, "limit_connections"},
    {CloseReason::kLimitHandshakes, "limit_handshakes"},
    {CloseReason::kLimitPeerConnections, "limit_peer_connections"},
    {CloseReason::kLimitSourceConnections, "limit_source_connections"},
    {CloseReason::kLimitUnauthenticated, "limit_unauthenticated"},
    {CloseReason::kLimitDescriptors, "limit_descriptors"},
    {CloseReason::kFirstByteTimeout, "first_byte_timeout"},
    {CloseReason::kHalfClosedTimeout, "half_closed_timeout"},
    {CloseReason::kIdle, "idle"},
    {CloseReason::kDrainDeadline, "drain_deadline"},
    {CloseReason::kMovedToNewProcess, "moved_to_new_process"},
    {CloseReason::kTlsTruncated, "tls_truncated"},
    {CloseReason::kMeshProtocolError, "mesh_protocol_error"},
    {CloseReason::kTlsError, "tls_error"},
};

constexpr bool EachInItsPlace() {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (static_cast<size_t>(kNames[i].reason) != i) return false;
  }
  return std::size(kNames) == kCloseReasonCount;
}
static_assert(EachInItsPlace(), "every reason has a name, in the order of the enum");

}  // namespace

absl::string_view CloseReasonName(CloseReason reason) { return kNames[static_cast<size_t>(reason)].name; }

CloseReason ReasonOf(SvidDefect defect) {
  switch (defect) {
    case SvidDefect::kMalformed: return CloseReason::kSvidMalformed;
    case SvidDefect::kNoSpiffeId: return CloseReason::kNoSpiffeId;
    case SvidDefect::kSeveralUriNames: return CloseReason::kSeveralUriNames;
    case SvidDefect::kCaAsLeaf: return CloseReason::kCaAsLeaf;
    case SvidDefect::kBadKeyUsage: return CloseReason::kBadKeyUsage;
    case SvidDefect::kWeakKey: return CloseReason::kWeakKey;
    case SvidDefect::kUnknownTrustDomain: return CloseReason::kUnknownTrustDomain;
    case SvidDefect::kNotYetValid: return CloseReason::kSvidNotYetValid;
    case SvidDefect::kExpired: return CloseReason::kSvidExpired;
    case SvidDefect::kUntrusted:
    case SvidDefect::kNone: return CloseReason::kUntrusted;
  }
  return CloseReason::kUntrusted;
}

}  // namespace lanyard
