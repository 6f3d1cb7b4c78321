// The header of the PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt): by it, whoever relays a
// connection tells the server behind who called. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proxy/io/address.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// The type of the TLV that holds the caller's SPIFFE ID, as text. One of those left to applications (0xE0 to 0xEF);
// there Google's load balancers use 0xE0, Amazon's 0xEA, Microsoft's 0xEE. Istio's ztunnel writes the same text as
// 0xD0, which the standard keeps for itself.
inline constexpr uint8_t kSpiffeIdTlv = 0xE5;

// Longer ones are refused, whatever the standard's 16 bits of length allow.
inline constexpr size_t kMostProxyHeaderBytes = 4096;

// What a header says. Of its TLVs nothing is taken: who a caller is, only TLS can tell.
struct ProxyHeader {
  struct Ends {
    SocketAddress source;       // of the connection that is relayed
    SocketAddress destination;
  };
  // Nothing: LOCAL (a connection of the sender's own), UNKNOWN, or not IP: the connection's own addresses hold.
  std::optional<Ends> ends;
};

// How many bytes a header that begins with `bytes` has at least beyond these; 0: it is whole. Who reads no more than
// that at a time never reads what follows the header. InvalidArgument: no header that is taken here begins so.
absl::StatusOr<size_t> MissingOfProxyHeader(absl::Span<const uint8_t> bytes);

// `bytes` is a whole header and nothing more. InvalidArgument names the defect; a CRC32C that is there and wrong is
// one.
absl::StatusOr<ProxyHeader> ParseProxyHeader(absl::Span<const uint8_t> bytes);

// For the server of a call from `source` to `destination`; version 1 or 2. Where the two are of different families,
// both are written as IPv6. Version 2 carries a CRC32C, and for a caller that proved an ID by mutual TLS a
// PP2_TYPE_SSL (verified, TLSv1.3; without a common name, which SVIDs need not have) and the ID as kSpiffeIdTlv.
std::string WriteProxyHeader(ProxyProtocol version, const SocketAddress& source, const SocketAddress& destination,
                             absl::string_view spiffe_id);

}  // namespace lanyard
