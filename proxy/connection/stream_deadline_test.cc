#include "proxy/connection/stream_deadline.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr absl::Duration kBegun = absl::Seconds(100);

ConnectionLimits Limits() {
  ConnectionLimits limits;
  limits.first_byte_timeout = absl::Seconds(2);
  limits.half_closed_timeout = absl::Seconds(5);
  limits.idle_timeout = absl::Seconds(30);
  return limits;
}

TEST(NextDeadline, WithoutLimitsThereIsNone) {
  const StreamTimes times{.begun = kBegun, .last_activity = kBegun, .half_closed = true};
  EXPECT_EQ(NextDeadline({}, times, absl::Hours(1000)).left, absl::InfiniteDuration());
}

TEST(NextDeadline, TheFirstByteIsWaitedForFromTheBeginning) {
  const StreamTimes times{.begun = kBegun, .last_activity = kBegun};
  const StreamDeadline deadline = NextDeadline(Limits(), times, kBegun + absl::Seconds(1));
  EXPECT_EQ(deadline.left, absl::Seconds(1));
  EXPECT_EQ(deadline.reason, CloseReason::kFirstByteTimeout);
}

TEST(NextDeadline, AfterItOnlyIdlenessCounts) {
  const StreamTimes times{.begun = kBegun, .last_activity = kBegun + absl::Seconds(1), .carried_bytes = true};
  const StreamDeadline deadline = NextDeadline(Limits(), times, kBegun + absl::Seconds(3));
  EXPECT_EQ(deadline.left, absl::Seconds(28));
  EXPECT_EQ(deadline.reason, CloseReason::kIdle);
}

TEST(NextDeadline, AHalfClosedStreamHasItsOwnTimeFromTheLastByte) {
  const StreamTimes times{
      .begun = kBegun, .last_activity = kBegun + absl::Seconds(10), .carried_bytes = true, .half_closed = true};
  const StreamDeadline deadline = NextDeadline(Limits(), times, kBegun + absl::Seconds(15));
  EXPECT_LE(deadline.left, absl::ZeroDuration());
  EXPECT_EQ(deadline.reason, CloseReason::kHalfClosedTimeout);
}

TEST(NextDeadline, TheNearestWins) {
  ConnectionLimits limits = Limits();
  limits.idle_timeout = absl::Seconds(1);
  const StreamTimes times{.begun = kBegun, .last_activity = kBegun, .half_closed = true};
  EXPECT_EQ(NextDeadline(limits, times, kBegun).reason, CloseReason::kIdle);
}

}  // namespace
}  // namespace lanyard
