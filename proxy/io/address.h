// An IPv4 or IPv6 address with a port, and blocks of addresses, as values.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

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
  std::string ToString() const;         // as Parse reads it
  std::string HostString() const;       // without the port
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t raw_size() const { return is_ipv4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }
  friend bool operator==(const SocketAddress& a, const SocketAddress& b);

 private:
  SocketAddress() = default;
  sockaddr_storage storage_{};
};

// "10.0.0.0/8", "fd00::/64", or an address alone (a /32 or /128). Host bits must be zero.
class Cidr {
 public:
  static absl::StatusOr<Cidr> Parse(absl::string_view text);
  bool Contains(const SocketAddress& address) const;
  const std::string& ToString() const { return text_; }

 private:
  Cidr() = default;
  std::string text_;
  sa_family_t family_ = AF_UNSPEC;
  uint8_t network_[16] = {};
  int prefix_bits_ = 0;
};

}  // namespace lanyard
