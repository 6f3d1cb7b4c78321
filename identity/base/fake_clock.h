// A clock that a test moves by hand.
#pragma once

#include <mutex>

#include "absl/time/time.h"
#include "identity/base/clock.h"

namespace lanyard {

// Thread-safe. Starts at 2026-01-01 00:00:00 UTC unless told otherwise.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1767225600)) : now_(now) {}

  absl::Time Now() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }
  absl::Duration Monotonic() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return monotonic_;
  }

  // Time passes: both the wall clock and the monotonic one move.
  void Advance(absl::Duration by) {
    std::lock_guard<std::mutex> lock(mutex_);
    now_ += by;
    monotonic_ += by;
  }
  // The wall clock jumps, as when an operator or NTP sets it; no time passes.
  void JumpTo(absl::Time now) {
    std::lock_guard<std::mutex> lock(mutex_);
    now_ = now;
  }

 private:
  mutable std::mutex mutex_;
  absl::Time now_;
  absl::Duration monotonic_ = absl::ZeroDuration();
};

}  // namespace lanyard
