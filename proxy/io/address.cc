#include "proxy/io/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

sockaddr_in* AsIpv4(sockaddr_storage& storage) { return reinterpret_cast<sockaddr_in*>(&storage); }
sockaddr_in6* AsIpv6(sockaddr_storage& storage) { return reinterpret_cast<sockaddr_in6*>(&storage); }
const sockaddr_in* AsIpv4(const sockaddr_storage& storage) { return reinterpret_cast<const sockaddr_in*>(&storage); }
const sockaddr_in6* AsIpv6(const sockaddr_storage& storage) { return reinterpret_cast<const sockaddr_in6*>(&storage); }

// An IPv4-mapped IPv6 address becomes the IPv4 address that it spells.
sockaddr_storage Normalized(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&AsIpv6(address)->sin6_addr)) return address;
  sockaddr_storage plain{};
  AsIpv4(plain)->sin_family = AF_INET;
  AsIpv4(plain)->sin_port = AsIpv6(address)->sin6_port;
  std::memcpy(&AsIpv4(plain)->sin_addr, &AsIpv6(address)->sin6_addr.s6_addr[12], 4);
  return plain;
}

// Digits only: no sign, no space, no leading zero that another reader might take for octal.
std::optional<int> ParseNumber(absl::string_view text, int maximum) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  int number = 0;
  if (!absl::SimpleAtoi(text, &number) || number > maximum) return std::nullopt;
  return number;
}

bool SetHost(absl::string_view host, sa_family_t family, sockaddr_storage& storage) {
  storage.ss_family = family;
  void* raw = family == AF_INET ? static_cast<void*>(&AsIpv4(storage)->sin_addr)
                                : static_cast<void*>(&AsIpv6(storage)->sin6_addr);
  return inet_pton(family, std::string(host).c_str(), raw) == 1;
}

absl::Status NotAnAddress(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an address with a port; write 10.0.0.1:80, ",
                                                 "[fd00::1]:80, or :80 for every address"));
}

const uint8_t* HostBytes(const SocketAddress& address) {
  if (address.is_ipv4()) {
    return reinterpret_cast<const uint8_t*>(&reinterpret_cast<const sockaddr_in*>(address.raw())->sin_addr);
  }
  return reinterpret_cast<const sockaddr_in6*>(address.raw())->sin6_addr.s6_addr;
}

}  // namespace

absl::StatusOr<SocketAddress> SocketAddress::Parse(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return NotAnAddress(text);
  absl::string_view host = text.substr(0, colon);
  const std::optional<int> port = ParseNumber(text.substr(colon + 1), 65535);
  if (!port.has_value()) return NotAnAddress(text);
  sockaddr_storage storage{};
  if (host.empty()) {
    storage.ss_family = AF_INET6;  // all zero is [::]
  } else if (host.front() == '[') {
    if (host.back() != ']' || !SetHost(host.substr(1, host.size() - 2), AF_INET6, storage)) return NotAnAddress(text);
  } else if (!SetHost(host, AF_INET, storage)) {
    return NotAnAddress(text);
  }
  (storage.ss_family == AF_INET ? AsIpv4(storage)->sin_port : AsIpv6(storage)->sin6_port) =
      htons(static_cast<uint16_t>(*port));
  SocketAddress address;
  address.storage_ = Normalized(storage);
  return address;
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr_storage& address) {
  SocketAddress result;
  result.storage_ = Normalized(address);
  return result;
}

uint16_t SocketAddress::port() const {
  return ntohs(is_ipv4() ? AsIpv4(storage_)->sin_port : AsIpv6(storage_)->sin6_port);
}

bool SocketAddress::is_loopback() const {
  return is_ipv4() ? HostBytes(*this)[0] == 127 : IN6_IS_ADDR_LOOPBACK(&AsIpv6(storage_)->sin6_addr);
}

bool SocketAddress::is_unspecified() const {
  const absl::Span<const uint8_t> host = host_bytes();
  return std::all_of(host.begin(), host.end(), [](uint8_t byte) { return byte == 0; });
}

std::string SocketAddress::HostString() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(storage_.ss_family, HostBytes(*this), text, sizeof(text));
  return text;
}

absl::Span<const uint8_t> SocketAddress::host_bytes() const {
  return absl::MakeConstSpan(HostBytes(*this), is_ipv4() ? 4 : 16);
}

std::string SocketAddress::ToString() const {
  return is_ipv4() ? absl::StrCat(HostString(), ":", port()) : absl::StrCat("[", HostString(), "]:", port());
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.is_ipv4() == b.is_ipv4() && a.port() == b.port() &&
         std::memcmp(HostBytes(a), HostBytes(b), a.is_ipv4() ? 4 : 16) == 0;
}

}  // namespace lanyard
