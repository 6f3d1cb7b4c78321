// A poller whose waits take virtual time, and which does not look at descriptors unless it is told to.
#pragma once

#include <poll.h>

#include <algorithm>
#include <deque>
#include <map>

#include "identity/base/fake_clock.h"
#include "proxy/io/poller.h"

namespace lanyard {

// Wait returns queued events, or else moves the clock to the end of the wait, so that a loop's
// timers run in order and at once. An infinite wait returns without time passing.
class FakePoller : public Poller {
 public:
  explicit FakePoller(FakeClock* clock) : clock_(clock) {}

  absl::Status Add(int fd, uint32_t, IoHandler* handler) override {
    watched_[fd] = handler;
    return absl::OkStatus();
  }
  void Remove(int fd) override { watched_.erase(fd); }
  // From now on handlers are told of descriptors that can be read, or whose other end is closed. That takes no time.
  void LookAtDescriptors() { looks_ = true; }
  void Queue(IoHandler* handler, uint32_t events) { events_.push_back({handler, events}); }

  size_t Wait(absl::Span<PollEvent> out, absl::Duration timeout) override {
    if (looks_) Look();
    if (events_.empty() && timeout != absl::InfiniteDuration()) {
      clock_->Advance(std::max(timeout, absl::ZeroDuration()));
    }
    const size_t count = std::min(out.size(), events_.size());
    std::copy_n(events_.begin(), count, out.begin());
    events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

 private:
  void Look() {
    for (const auto& [fd, handler] : watched_) {
      pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&watched, 1, 0) > 0) Queue(handler, static_cast<uint32_t>(watched.revents));
    }
  }

  FakeClock* clock_;
  bool looks_ = false;
  std::map<int, IoHandler*> watched_;
  std::deque<PollEvent> events_;
};

}  // namespace lanyard
