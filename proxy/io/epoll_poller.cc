#include "proxy/io/epoll_poller.h"

#include <algorithm>
#include <cerrno>

namespace lanyard {
namespace {

constexpr size_t kMaxEvents = 256;

// Rounded up, so that a timer is due when the wait for it ends.
int TimeoutMs(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return 0;
  if (timeout == absl::InfiniteDuration()) return -1;
  const int64_t ms = absl::ToInt64Milliseconds(timeout + absl::Milliseconds(1) - absl::Nanoseconds(1));
  return static_cast<int>(std::min<int64_t>(ms, 1 << 30));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpollPoller>> EpollPoller::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return absl::ErrnoToStatus(errno, "no epoll descriptor left; raise the limit of open files");
  return std::unique_ptr<EpollPoller>(new EpollPoller(std::move(epoll)));
}

absl::Status EpollPoller::Add(int fd, uint32_t events, IoHandler* handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handler;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "a descriptor could not be watched by epoll");
}

void EpollPoller::Remove(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

size_t EpollPoller::Wait(absl::Span<PollEvent> out, absl::Duration timeout) {
  epoll_event events[kMaxEvents];
  const int room = static_cast<int>(std::min(out.size(), kMaxEvents));
  const int count = epoll_wait(epoll_.get(), events, room, TimeoutMs(timeout));
  if (count <= 0) return 0;  // EINTR is an empty turn
  for (int i = 0; i < count; ++i) out[i] = {static_cast<IoHandler*>(events[i].data.ptr), events[i].events};
  return static_cast<size_t>(count);
}

}  // namespace lanyard
