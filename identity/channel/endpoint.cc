#include "identity/channel/endpoint.h"

#include <netdb.h>
#include <string.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

struct HostPort {
  std::string host, port;
};

absl::StatusOr<HostPort> Split(const std::string& address) {
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("the address \"", address, "\" is not host:port, as in 192.0.2.1:7443 or [2001:db8::1]:7443"));
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return wrong;
  HostPort parts{address.substr(0, colon), address.substr(colon + 1)};
  const bool bracketed = parts.host.size() > 2 && parts.host.front() == '[' && parts.host.back() == ']';
  if (bracketed) parts.host = parts.host.substr(1, parts.host.size() - 2);
  uint32_t port;
  const bool good = !parts.host.empty() && parts.host.find_first_of("[]") == std::string::npos &&
                    (parts.host.find(':') != std::string::npos) == bracketed &&
                    absl::SimpleAtoi(parts.port, &port) && port <= 65535;
  if (!good) return wrong;
  return parts;
}

absl::StatusOr<std::vector<Endpoint>> Resolve(const HostPort& parts, int flags) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrCat("cannot resolve ", parts.host, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Endpoint endpoint;
    memcpy(&endpoint.address, at->ai_addr, at->ai_addrlen);
    endpoint.size = at->ai_addrlen;
    endpoints.push_back(endpoint);
  }
  return endpoints;
}

}  // namespace

absl::StatusOr<Endpoint> ListenEndpoint(const std::string& address) {
  const absl::StatusOr<HostPort> parts = Split(address);
  if (!parts.ok()) return parts.status();
  const absl::StatusOr<std::vector<Endpoint>> found = Resolve(*parts, AI_NUMERICHOST | AI_PASSIVE);
  if (!found.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot listen on \"", address, "\": ", parts->host,
                                                   " is not an IP address; 0.0.0.0 or [::] listens on all"));
  }
  return found->front();
}

absl::StatusOr<std::vector<Endpoint>> DialEndpoints(const std::string& address) {
  const absl::StatusOr<HostPort> parts = Split(address);
  if (!parts.ok()) return parts.status();
  return Resolve(*parts, 0);
}

std::string SourceOf(const Endpoint& peer) {
  if (peer.family() == AF_INET) {
    const auto* const address = reinterpret_cast<const sockaddr_in*>(peer.get());
    return std::string(reinterpret_cast<const char*>(&address->sin_addr), sizeof(address->sin_addr));
  }
  if (peer.family() != AF_INET6) return "";
  const auto* const bytes =
      reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in6*>(peer.get())->sin6_addr);
  // RFC 4291 section 2.5.5.2: the last four are an IPv4 address.
  const bool mapped = IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(bytes));
  return mapped ? std::string(bytes + 12, 4) : std::string(bytes, 8);
}

}  // namespace lanyard
