#include "identity/agent/caller_watch.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace lanyard {
namespace {

constexpr int kEventsAtOnce = 64;

absl::Status Watch(int epoll_fd, int fd, const void* tag) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = const_cast<void*>(tag);
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot watch a process (epoll_ctl)");
}

}  // namespace

absl::StatusOr<std::unique_ptr<CallerWatch>> CallerWatch::Create() {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::unique_ptr<CallerWatch> watch(new CallerWatch(epoll_fd, wake_fd));
  if (epoll_fd < 0 || wake_fd < 0) return absl::ErrnoToStatus(errno, "cannot make an epoll and an eventfd");
  const absl::Status added = Watch(epoll_fd, wake_fd, nullptr);
  if (!added.ok()) return added;
  return watch;
}

CallerWatch::~CallerWatch() {
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

absl::Status CallerWatch::Add(uint64_t id, std::shared_ptr<const LocalPeer> peer) {
  const LocalPeer* const key = peer.get();
  const auto found = peers_.find(key);
  if (found == peers_.end()) {
    const absl::Status added = Watch(epoll_fd_, key->pidfd(), key);
    if (!added.ok()) return added;
    peers_[key] = {std::move(peer), {id}};
  } else {
    found->second.ids.insert(id);
  }
  peer_of_[id] = key;
  return absl::OkStatus();
}

void CallerWatch::Remove(uint64_t id) {
  const auto found = peer_of_.find(id);
  if (found == peer_of_.end()) return;
  const auto watched = peers_.find(found->second);
  peer_of_.erase(found);
  watched->second.ids.erase(id);
  if (!watched->second.ids.empty()) return;
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watched->first->pidfd(), nullptr);
  peers_.erase(watched);
}

std::vector<uint64_t> CallerWatch::Wait(absl::Duration timeout) {
  std::array<epoll_event, kEventsAtOnce> events;
  // Rounded up: a deadline that is a fraction of a millisecond away must not be spun on.
  const int64_t milliseconds =
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))), 0, 3600 * 1000);
  const int count = epoll_wait(epoll_fd_, events.data(), kEventsAtOnce, static_cast<int>(milliseconds));
  std::vector<uint64_t> exited;
  for (int i = 0; i < count; ++i) {
    const void* const tag = events[static_cast<size_t>(i)].data.ptr;
    if (tag == nullptr) {
      uint64_t value;
      while (read(wake_fd_, &value, sizeof(value)) > 0) {
      }
      continue;
    }
    const auto watched = peers_.find(static_cast<const LocalPeer*>(tag));
    if (watched != peers_.end()) exited.insert(exited.end(), watched->second.ids.begin(), watched->second.ids.end());
  }
  return exited;
}

void CallerWatch::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the wait is over already.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

}  // namespace lanyard
