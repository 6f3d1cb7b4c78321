// Time as an argument. Everything that decides by time asks a Clock, so that a test
// can move it; nothing in Lanyard calls absl::Now() elsewhere.
#pragma once

#include "absl/time/time.h"

namespace lanyard {

// Thread-safe. Implementations: SystemClock() and FakeClock (fake_clock.h).
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time: validity of certificates, expiry of tokens, log stamps. May jump.
  virtual absl::Time Now() const = 0;

  // Time since an arbitrary fixed point that never runs backwards: timeouts, backoff.
  virtual absl::Duration Monotonic() const = 0;
};

// The machine's clock; lives for the whole process.
const Clock& SystemClock();

}  // namespace lanyard
