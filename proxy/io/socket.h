// The proxy's socket calls that are not reads and writes.
#pragma once

#include "absl/status/statusor.h"
#include "proxy/io/address.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

// Callers that the kernel lets wait to be accepted.
inline constexpr int kListenBacklog = 4096;

// A listening socket, non-blocking, SO_REUSEPORT, whose accepted sockets inherit TCP_NODELAY and keepalive, by which
// connection tracking does not forget them (on loopback the simplest congestion control as well). [::] takes both
// families (and is 0.0.0.0 where the machine has no IPv6). The error names the address.
absl::StatusOr<UniqueFd> OpenListener(const SocketAddress& address);

// From now on the socket takes connections to any address (IP_TRANSPARENT), which TPROXY brings. PermissionDenied
// without CAP_NET_RAW.
absl::Status MakeTransparent(int fd, const SocketAddress& address);

// Whether MakeTransparent was called on the socket, in whatever process.
bool IsTransparent(int fd, const SocketAddress& address);

// The address a socket is bound to.
absl::StatusOr<SocketAddress> LocalAddress(int fd);

// Where the caller of a captured connection meant to go, as connection tracking knows it (SO_ORIGINAL_DST,
// IP6T_SO_ORIGINAL_DST): what was redirected was meant for elsewhere, what TPROXY brought for the socket's own
// address. NotFound for a connection that is not tracked.
absl::StatusOr<SocketAddress> OriginalDestination(int fd, const SocketAddress& source);

struct Dialled {
  UniqueFd fd;             // invalid: see error_number
  bool connected = false;  // false: under way
  int error_number = 0;
};
// Starts to connect without blocking.
Dialled Dial(const SocketAddress& destination);
// Likewise, from the address of `source`, which may be any machine's, and a port that the kernel chooses. Needs
// CAP_NET_RAW (EPERM). A source of the other family is EAFNOSUPPORT.
Dialled DialFrom(const SocketAddress& source, const SocketAddress& destination);

// The next close sends RST instead of FIN.
void ResetOnClose(int fd);
// As if ResetOnClose had not been called.
void FinishOnClose(int fd);

}  // namespace lanyard
