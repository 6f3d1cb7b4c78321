// A poller without descriptors whose waits take virtual time.
#pragma once

#include <algorithm>
#include <deque>

#include "identity/base/fake_clock.h"
#include "proxy/io/poller.h"

namespace lanyard {

// Wait returns queued events, or else moves the clock to the end of the wait, so that a loop's
// timers run in order and at once. An infinite wait returns without time passing.
class FakePoller : public Poller {
 public:
  explicit FakePoller(FakeClock* clock) : clock_(clock) {}

  absl::Status Add(int, uint32_t, IoHandler*) override { return absl::OkStatus(); }
  void Remove(int) override {}
  void Queue(IoHandler* handler, uint32_t events) { events_.push_back({handler, events}); }

  size_t Wait(absl::Span<PollEvent> out, absl::Duration timeout) override {
    if (events_.empty() && timeout != absl::InfiniteDuration()) {
      clock_->Advance(std::max(timeout, absl::ZeroDuration()));
    }
    const size_t count = std::min(out.size(), events_.size());
    std::copy_n(events_.begin(), count, out.begin());
    events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

 private:
  FakeClock* clock_;
  std::deque<PollEvent> events_;
};

}  // namespace lanyard
