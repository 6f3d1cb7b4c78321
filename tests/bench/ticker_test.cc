#include "tests/bench/ticker.h"

#include <gtest/gtest.h>

namespace lanyard::bench {
namespace {

constexpr uint64_t kMs = 1'000'000;

uint64_t InTenSeconds() { return NowNs() + 10'000 * kMs; }

TEST(Ticker, NeverTicksEarly) {
  const uint64_t begin_ns = NowNs();
  Ticker ticker(1000);
  Poller poller;
  poller.AddReadable(ticker.fd(), 0);
  for (uint64_t ticks = 0; ticks < 20;) {
    poller.Wait(InTenSeconds());
    ticks += ticker.Take();
    EXPECT_LE(ticks * kMs, NowNs() - begin_ns);
  }
}

TEST(Ticker, LosesNoTickOfAReaderWhoComesLate) {
  Ticker ticker(10'000);
  const uint64_t begin_ns = NowNs();  // a moment after the ticker was made, or longer
  while (NowNs() - begin_ns < 30 * kMs) {
  }
  EXPECT_GE(ticker.Take(), 299u);
}

TEST(Ticker, HasNothingBeforeItsFirstTickAndAfterTheLastWasTaken) {
  const uint64_t begin_ns = NowNs();
  Ticker ticker(1);
  uint64_t ticks = ticker.Take();
  ticks += ticker.Take();
  EXPECT_LE(ticks * 1000 * kMs, NowNs() - begin_ns);  // none, unless the test itself took a second to come here
}

TEST(Ticker, RefusesARateThatIsNone) {
  EXPECT_EXIT(Ticker(0), testing::ExitedWithCode(1), "between 1 and 1000000");
  EXPECT_EXIT(Ticker(1'000'001), testing::ExitedWithCode(1), "between 1 and 1000000");
}

}  // namespace
}  // namespace lanyard::bench
