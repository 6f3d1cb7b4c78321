#include "identity/base/clock.h"

#include <time.h>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"

namespace lanyard {
namespace {

TEST(SystemClock, TellsTheKernelsTime) {
  timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  const absl::Time now = SystemClock().Now();
  clock_gettime(CLOCK_REALTIME, &after);
  // absl interpolates between readings of the kernel's clock, within a millisecond.
  EXPECT_GE(now, absl::TimeFromTimespec(before) - absl::Milliseconds(1));
  EXPECT_LE(now, absl::TimeFromTimespec(after) + absl::Milliseconds(1));
}

TEST(SystemClock, MonotonicNeverRunsBackwards) {
  absl::Duration last = SystemClock().Monotonic();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration now = SystemClock().Monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, absl::ZeroDuration());
}

TEST(FakeClock, PassingTimeMovesBothClocksAndAJumpOnlyTheWall) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now(), start + absl::Seconds(5));
  EXPECT_EQ(clock.Monotonic(), absl::Seconds(5));
  clock.JumpTo(start - absl::Hours(1));
  EXPECT_EQ(clock.Now(), start - absl::Hours(1));
  EXPECT_EQ(clock.Monotonic(), absl::Seconds(5));
}

}  // namespace
}  // namespace lanyard
