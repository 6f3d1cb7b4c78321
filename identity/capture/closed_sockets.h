// The TCP sockets of this network namespace that were closed for good since one began to watch: sock_diag(7)'s
// notifications, for what /proc/net/tcp shows too briefly.
#pragma once

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "identity/capture/tcp_sockets.h"

namespace lanyard {

// One thread.
class ClosedSockets {
 public:
  // Null where the kernel does not tell (no right to be told, no CONFIG_INET_DIAG).
  static std::unique_ptr<ClosedSockets> Watch();
  ~ClosedSockets();
  ClosedSockets(const ClosedSockets&) = delete;
  ClosedSockets& operator=(const ClosedSockets&) = delete;

  // Those since the last call, each `ended`; of one that was closed by a reset the remote port is 0. Does not wait.
  // Some are missing where more closed than the kernel's buffer for us holds, a few hundred.
  std::vector<TcpSocket> Take();
  int fd() const { return fd_; }  // readable when there are some

 private:
  explicit ClosedSockets(int fd) : fd_(fd) {}
  const int fd_;
};

// The sockets in one datagram of notifications. Stops at what is malformed. Pure.
std::vector<TcpSocket> ParseClosedSockets(absl::string_view datagram);

}  // namespace lanyard
