#include "identity/base/backoff.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

constexpr BackoffOptions kOptions = {absl::Milliseconds(100), absl::Seconds(1), 2.0};

TEST(Backoff, GrowsToItsMaximumAndStaysThere) {
  FakeRandom random;
  random.FixBytes(0xff);  // the top of each interval
  Backoff backoff(kOptions, random);
  for (int expected_ms : {100, 200, 400, 800, 1000, 1000, 1000}) {
    EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), expected_ms, 0.001);
  }
}

TEST(Backoff, WaitsAtLeastHalfTheCeiling) {
  FakeRandom random;
  random.FixBytes(0);
  Backoff backoff(kOptions, random);
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(50));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(100));
}

TEST(Backoff, StaysWithinTheIntervalAndSpreads) {
  FakeRandom random;
  Backoff backoff({absl::Seconds(1), absl::Seconds(1), 2.0}, random);
  absl::Duration low = absl::InfiniteDuration(), high = absl::ZeroDuration();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration wait = backoff.Next();
    low = std::min(low, wait);
    high = std::max(high, wait);
  }
  EXPECT_GE(low, absl::Milliseconds(500));
  EXPECT_LT(low, absl::Milliseconds(520));
  EXPECT_LE(high, absl::Seconds(1));
  EXPECT_GT(high, absl::Milliseconds(980));
}

TEST(Backoff, StartsAnewAfterSuccess) {
  FakeRandom random;
  random.FixBytes(0);
  Backoff backoff(kOptions, random);
  backoff.Next();
  backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(50));
}

}  // namespace
}  // namespace lanyard
