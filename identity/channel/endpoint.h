// "host:port" as socket addresses. Private to identity/channel.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lanyard {

struct Endpoint {
  sockaddr_storage address = {};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  int family() const { return address.ss_family; }
};

// "192.0.2.1:443", "[2001:db8::1]:443": where to listen. InvalidArgument for anything else, a name included.
absl::StatusOr<Endpoint> ListenEndpoint(const std::string& address);

// The same, or "name:443": all the addresses there are, in the order to try them. Asks the resolver, which may
// block for as long as /etc/resolv.conf lets it. InvalidArgument; Unavailable where a name cannot be resolved.
absl::StatusOr<std::vector<Endpoint>> DialEndpoints(const std::string& address);

// Whose it is, as far as an address says: all of an IPv4 address, also of one that IPv6 carries, and the first 64 bits
// of an IPv6 address, as the others are the owner's to choose. "" where it is neither.
std::string SourceOf(const Endpoint& peer);

}  // namespace lanyard
