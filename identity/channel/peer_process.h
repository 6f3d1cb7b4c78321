// Which process is at the other end of a Unix connection, by the kernel's word. Private to identity/channel.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "identity/channel/local_server.h"

namespace lanyard {

// SO_PEERCRED with SO_PEERPIDFD, both taken by the kernel when the connection was made. Before Linux 6.5,
// which has no SO_PEERPIDFD: a pidfd opened now, refused where the process cannot be the one that connected (it
// has hung up, or the pid's present process began after the connection was there to accept).
absl::StatusOr<std::shared_ptr<const LocalPeer>> PeerProcessOf(int connection);

// The fallback alone, for its test on newer kernels.
absl::StatusOr<std::shared_ptr<const LocalPeer>> PeerProcessByPid(int connection);

}  // namespace lanyard
