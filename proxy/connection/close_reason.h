// Why a connection ended: one enum = one field of the access log = one metric label.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "identity/spiffe/svid_defect.h"

namespace lanyard {

enum class CloseReason : uint8_t {
  kNormal,              // both sides finished, every byte delivered
  kAppReset,            // the application or workload beside this proxy reset it
  kPeerReset,           // the other side of the mesh (or of a pass-through) reset it
  kPeerRefused,         // the peer sent a TLS alert: it does not accept us
  kConnectRefused,
  kConnectTimeout,
  kConnectUnreachable,  // no route, no such host, name not found
  kConnectFailed,       // any other reason a dial fails for
  kHandshakeFailed,     // not TLS 1.3, garbage, closed in the middle
  kHandshakeTimeout,    // includes a silent caller of a strict port
  kNoPeerCertificate,
  // The peer's SVID, by SvidDefect.
  kSvidMalformed,
  kNoSpiffeId,
  kSeveralUriNames,
  kCaAsLeaf,
  kBadKeyUsage,
  kWeakKey,
  kUnknownTrustDomain,
  kSvidNotYetValid,
  kSvidExpired,
  kUntrusted,
  kPeerNotExpected,     // outbound: a valid SVID, but not an ID that this destination may have
  kDeniedByPolicy,      // inbound: a valid SVID, but no rule allows it
  kPlaintextRefused,
  kRouteRefused,
  kIdentityWithdrawn,   // our own, by its source
  kLoopDetected,        // this proxy called itself
  kMisdirected,         // captured from outside, for an address of loopback
  kProxyHeaderUntrusted,  // a caller that the listener takes no PROXY protocol header from
  kProxyHeaderInvalid,  // or that sent none, or a bad one
  kProxyHeaderTimeout,
  kBanned,              // by ID or serial, at the handshake or later
  kPolicyChanged,       // was allowed, is not any more
  kBundleChanged,       // was trusted, is not any more
  kSvidExpiredWhileOpen,  // the peer's, or our own
  kReauthenticationFailed,  // of a stream of the mesh protocol, up to the expiry of an SVID
  kCarryOverTimeout,    // the far proxy began to carry a stream over and never finished
  kLimitConnections,
  kLimitHandshakes,
  kLimitPeerConnections,    // inbound: the peer has max_connections_per_peer already
  kLimitSourceConnections,  // inbound: likewise its address, of callers not known yet
  kLimitUnauthenticated,    // inbound: others need the room, and the caller has not proved who it is
  kLimitDescriptors,
  kFirstByteTimeout,    // neither side said a word
  kHalfClosedTimeout,   // one side has ended, the other is silent
  kIdle,
  kDrainDeadline,
  kMovedToNewProcess,   // by an upgrade: the stream goes on there, and is logged there
  kTlsTruncated,        // end of stream without close_notify
  kMeshProtocolError,   // the far proxy broke the mesh protocol
  kTlsError,            // a record that does not decrypt, or a broken protocol, after the handshake
};
inline constexpr size_t kCloseReasonCount = static_cast<size_t>(CloseReason::kTlsError) + 1;

// snake_case, stable: "normal", "svid_expired", ...
absl::string_view CloseReasonName(CloseReason reason);

// The reason that names a refused SVID; kUntrusted for kNone, which no refusal carries.
CloseReason ReasonOf(SvidDefect defect);

}  // namespace lanyard
