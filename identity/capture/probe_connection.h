// The connection of a probe: made, and looked for among the sockets of this namespace.
#pragma once

#include <sys/socket.h>

#include <string>

#include "absl/time/time.h"
#include "identity/capture/closed_sockets.h"
#include "identity/capture/probe.h"

namespace lanyard {

// An address of either family, as text that is one; `size` is the part of it that is used.
sockaddr_storage SockaddrOf(const std::string& address, uint16_t port, socklen_t& size);
std::string AddressOf(const sockaddr_storage& storage);
uint16_t PortOf(const sockaddr_storage& storage);

// Whose socket `fd` is: non-blocking, not connected. The error number; 0 too for a connection that was reset as soon as
// it was made: somebody took it. System calls only.
int ConnectWithin(int fd, const sockaddr_storage& destination, socklen_t size, int timeout_ms);
// Its close, however it comes, is a reset: nothing is left of it.
void LeaveNothing(int fd);

// Looks for the other end of a connection from `local` among the sockets of this namespace, and those that `closed`
// (or null) heard of, until somebody has taken it. Blocks for `timeout` at most.
void FindOtherEnd(const sockaddr_storage& local, absl::Duration timeout, ClosedSockets* closed, ProbeResult& result);

}  // namespace lanyard
