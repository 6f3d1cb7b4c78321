#include "proxy/io/stream.h"

namespace lanyard {

absl::string_view StreamErrorName(StreamError error) {
  switch (error) {
    case StreamError::kNone: return "none";
    case StreamError::kReset: return "connection reset by the other side";
    case StreamError::kRefused: return "connection refused";
    case StreamError::kTimedOut: return "connection timed out";
    case StreamError::kUnreachable: return "destination unreachable";
    case StreamError::kNoDescriptors: return "no file descriptors left";
    case StreamError::kTruncated: return "TLS ended without close_notify";
    case StreamError::kPeerAlert: return "the peer sent a TLS alert";
    case StreamError::kNoSharedProtocol: return "the peer accepts none of the protocols that were offered";
    case StreamError::kNoPeerCertificate: return "the peer showed no certificate";
    case StreamError::kPeerNotVerified: return "the peer's SVID was refused";
    case StreamError::kProtocol: return "TLS protocol error";
    case StreamError::kMeshRefused: return "refused by the far proxy";
    case StreamError::kMeshProtocol: return "the far proxy broke the mesh protocol";
    case StreamError::kCarryOverFailed: return "a link failed while the stream was being carried over to it";
    case StreamError::kCarryOverTimedOut: return "the far proxy did not finish carrying the stream over";
    case StreamError::kOther: return "input or output error";
  }
  return "unknown";
}

}  // namespace lanyard
