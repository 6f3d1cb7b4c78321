#include "identity/channel/peer_process.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "identity/base/atomic_file.h"
#include "identity/base/descriptor.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace lanyard {
namespace {

absl::StatusOr<ucred> CredentialsOf(int connection) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::ErrnoToStatus(errno, "cannot ask the kernel who connected");
  }
  // A process outside our pid namespace has no number here, and cannot be looked at.
  if (credentials.pid <= 0) return absl::PermissionDeniedError("the caller is not in this process's pid namespace");
  return credentials;
}

bool HungUp(int connection) {
  pollfd poll_for = {connection, 0, 0};
  return poll(&poll_for, 1, 0) != 0;
}

// Field 22 of /proc/<pid>/stat, in clock ticks since boot. The second field, in parentheses, may hold anything.
absl::StatusOr<uint64_t> StartTicks(pid_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
  if (!stat.ok()) return stat.status();
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(stat->rfind(')') + 1), ' ', absl::SkipEmpty());
  uint64_t ticks;
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[19], &ticks)) {
    return absl::InternalError(absl::StrCat("cannot read /proc/", pid, "/stat"));
  }
  return ticks;
}

uint64_t TicksSinceBoot() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  const uint64_t per_second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return static_cast<uint64_t>(now.tv_sec) * per_second + static_cast<uint64_t>(now.tv_nsec) * per_second / 1000000000;
}

std::shared_ptr<const LocalPeer> MakePeer(const ucred& credentials, Descriptor pidfd) {
  return std::make_shared<const LocalPeer>(credentials.pid, credentials.uid, credentials.gid, pidfd.Release());
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LocalPeer>> PeerProcessByPid(int connection) {
  const uint64_t now = TicksSinceBoot();
  const absl::StatusOr<ucred> credentials = CredentialsOf(connection);
  if (!credentials.ok()) return credentials.status();
  Descriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, credentials->pid, 0)));
  if (!pidfd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("cannot hold on to process ", credentials->pid));
  const absl::StatusOr<uint64_t> started = StartTicks(credentials->pid);
  if (!started.ok()) return started.status();
  if (*started > now || HungUp(connection)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the process ", credentials->pid, " is not the one that connected"));
  }
  return MakePeer(*credentials, std::move(pidfd));
}

absl::StatusOr<std::shared_ptr<const LocalPeer>> PeerProcessOf(int connection) {
  int pidfd;
  socklen_t size = sizeof(pidfd);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
    Descriptor owned(pidfd);
    const absl::StatusOr<ucred> credentials = CredentialsOf(connection);
    if (!credentials.ok()) return credentials.status();
    return MakePeer(*credentials, std::move(owned));
  }
  if (errno != ENOPROTOOPT) return absl::ErrnoToStatus(errno, "the process that connected has gone");
  return PeerProcessByPid(connection);
}

LocalPeer::~LocalPeer() { close(pidfd_); }

bool LocalPeer::Alive() const {
  // A pidfd becomes readable when its process has exited.
  pollfd poll_for = {pidfd_, POLLIN, 0};
  return poll(&poll_for, 1, 0) == 0;
}

}  // namespace lanyard
