#include "identity/base/clock.h"

#include <time.h>

namespace lanyard {
namespace {

class MachineClock : public Clock {
 public:
  // Not absl::Now, which goes on by the processor's counter for a while after the clock was set.
  absl::Time Now() const override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return absl::TimeFromTimespec(now);
  }
  absl::Duration Monotonic() const override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::DurationFromTimespec(now);
  }
};

}  // namespace

const Clock& SystemClock() {
  static const MachineClock* const clock = new MachineClock;
  return *clock;
}

}  // namespace lanyard
