// A listening Unix socket for orders from this machine: only this process's user and root get through.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

// Non-blocking, mode 0600. A socket that a process left behind is replaced; AlreadyExists if somebody still listens
// there, or if the path is something else. The folder must exist.
absl::StatusOr<UniqueFd> OpenLocalListener(const std::string& path);

struct LocalCaller {
  UniqueFd fd;  // non-blocking
  uid_t uid = 0;
};
// The next caller, by the kernel's word. Unavailable: none waits. PermissionDenied: another user, who is hung up on.
absl::StatusOr<LocalCaller> AcceptLocalCaller(int listener);

// sd_notify(3) without its library: tells systemd, at $NOTIFY_SOCKET (`address`, a path or "@name"), of this service.
// Nothing happens where `address` is empty.
absl::Status TellServiceManager(const std::string& address, const std::string& state);

}  // namespace lanyard
