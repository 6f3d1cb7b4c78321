#include "proxy/io/local_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 8;

struct LocalAddress {
  sockaddr_un raw{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
};

absl::StatusOr<LocalAddress> ParseLocalAddress(const std::string& path) {
  LocalAddress address;
  if (path.empty() || path.size() >= sizeof(address.raw.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" cannot be a socket's path: it has 1 to ",
                                                   sizeof(address.raw.sun_path) - 1, " bytes"));
  }
  address.raw.sun_family = AF_UNIX;
  std::memcpy(address.raw.sun_path, path.data(), path.size());
  if (path.front() == '@') address.raw.sun_path[0] = '\0';  // not in the file system
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  return address;
}

// What a process that has ended left behind.
absl::Status RemoveStale(const std::string& path, const LocalAddress& address) {
  struct stat found{};
  if (lstat(path.c_str(), &found) != 0) return absl::OkStatus();
  if (!S_ISSOCK(found.st_mode)) return absl::AlreadyExistsError(absl::StrCat(path, " is there and is no socket"));
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(probe.get(), address.get(), address.size) == 0 || errno != ECONNREFUSED) {
    return absl::AlreadyExistsError(absl::StrCat(path, " is in use by another process; choose another path"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenLocalListener(const std::string& path) {
  const absl::StatusOr<LocalAddress> address = ParseLocalAddress(path);
  if (!address.ok()) return address.status();
  if (const absl::Status free = RemoveStale(path, *address); !free.ok()) return free;
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Linux gives the path the socket's mode, so that it is never wider than this.
  if (!fd.valid() || fchmod(fd.get(), 0600) != 0 || bind(fd.get(), address->get(), address->size) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listening on ", path, " failed"));
  }
  return fd;
}

absl::StatusOr<LocalCaller> AcceptLocalCaller(int listener) {
  LocalCaller caller{.fd = UniqueFd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC))};
  if (!caller.fd.valid() && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)) {
    return absl::UnavailableError("nobody waits");
  }
  if (!caller.fd.valid()) return absl::ErrnoToStatus(errno, "a caller could not be accepted");
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(caller.fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return absl::PermissionDeniedError("the kernel does not say who calls");
  }
  if (peer.uid != geteuid() && peer.uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat("user ", peer.uid, " may not give orders here"));
  }
  caller.uid = peer.uid;
  return caller;
}

absl::Status TellServiceManager(const std::string& address, const std::string& state) {
  if (address.empty()) return absl::OkStatus();
  const absl::StatusOr<LocalAddress> parsed = ParseLocalAddress(address);
  if (!parsed.ok()) return parsed.status();
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const ssize_t sent = sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, parsed->get(), parsed->size);
  if (sent == static_cast<ssize_t>(state.size())) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("the service manager at ", address, " was not told"));
}

}  // namespace lanyard
