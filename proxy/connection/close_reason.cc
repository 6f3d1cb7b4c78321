#include "proxy/connection/close_reason.h"

namespace lanyard {

absl::string_view CloseReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal: return "normal";
    case CloseReason::kAppReset: return "app_reset";
    case CloseReason::kPeerReset: return "peer_reset";
    case CloseReason::kPeerRefused: return "peer_refused";
    case CloseReason::kConnectRefused: return "connect_refused";
    case CloseReason::kConnectTimeout: return "connect_timeout";
    case CloseReason::kConnectUnreachable: return "connect_unreachable";
    case CloseReason::kConnectFailed: return "connect_failed";
    case CloseReason::kHandshakeFailed: return "handshake_failed";
    case CloseReason::kHandshakeTimeout: return "handshake_timeout";
    case CloseReason::kNoPeerCertificate: return "no_peer_certificate";
    case CloseReason::kSvidMalformed: return "svid_malformed";
    case CloseReason::kNoSpiffeId: return "no_spiffe_id";
    case CloseReason::kSeveralUriNames: return "several_uri_names";
    case CloseReason::kCaAsLeaf: return "ca_as_leaf";
    case CloseReason::kBadKeyUsage: return "bad_key_usage";
    case CloseReason::kWeakKey: return "weak_key";
    case CloseReason::kUnknownTrustDomain: return "unknown_trust_domain";
    case CloseReason::kSvidNotYetValid: return "svid_not_yet_valid";
    case CloseReason::kSvidExpired: return "svid_expired";
    case CloseReason::kUntrusted: return "untrusted";
    case CloseReason::kPeerNotExpected: return "peer_not_expected";
    case CloseReason::kDeniedByPolicy: return "denied_by_policy";
    case CloseReason::kPlaintextRefused: return "plaintext_refused";
    case CloseReason::kRouteRefused: return "route_refused";
    case CloseReason::kLoopDetected: return "loop_detected";
    case CloseReason::kBanned: return "banned";
    case CloseReason::kPolicyChanged: return "policy_changed";
    case CloseReason::kBundleChanged: return "bundle_changed";
    case CloseReason::kSvidExpiredWhileOpen: return "svid_expired_while_open";
    case CloseReason::kReauthenticationFailed: return "reauthentication_failed";
    case CloseReason::kCarryOverTimeout: return "carry_over_timeout";
    case CloseReason::kLimitConnections: return "limit_connections";
    case CloseReason::kLimitHandshakes: return "limit_handshakes";
    case CloseReason::kLimitPeerConnections: return "limit_peer_connections";
    case CloseReason::kLimitSourceConnections: return "limit_source_connections";
    case CloseReason::kFirstByteTimeout: return "first_byte_timeout";
    case CloseReason::kHalfClosedTimeout: return "half_closed_timeout";
    case CloseReason::kLimitDescriptors: return "limit_descriptors";
    case CloseReason::kIdle: return "idle";
    case CloseReason::kDrainDeadline: return "drain_deadline";
    case CloseReason::kTlsTruncated: return "tls_truncated";
    case CloseReason::kMeshProtocolError: return "mesh_protocol_error";
    case CloseReason::kTlsError: return "tls_error";
  }
  return "unknown";
}

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
