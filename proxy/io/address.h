// An IPv4 or IPv6 address with a port, as a value.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

// IPv4-mapped IPv6 addresses are kept as IPv4, so that one address has one spelling.
class SocketAddress {
 public:
  // "10.0.0.1:80", "[::1]:80", ":80" (every address: [::] with both families).
  static absl::StatusOr<SocketAddress> Parse(absl::string_view text);
  static SocketAddress FromSockaddr(const sockaddr_storage& address);

  uint16_t port() const;
  bool is_ipv4() const { return storage_.ss_family == AF_INET; }
  bool is_loopback() const;
  bool is_unspecified() const;          // 0.0.0.0, [::]
  std::string ToString() const;         // as Parse reads it
  std::string HostString() const;       // without the port
  absl::Span<const uint8_t> host_bytes() const;  // in network order: 4 of IPv4, 16 of IPv6
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t raw_size() const { return is_ipv4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }
  friend bool operator==(const SocketAddress& a, const SocketAddress& b);

 private:
  SocketAddress() = default;
  sockaddr_storage storage_{};
};

}  // namespace lanyard
