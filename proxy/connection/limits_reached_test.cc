#include "proxy/connection/limits_reached.h"

#include <memory>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"

namespace lanyard {
namespace {

class LimitsReachedTest : public testing::Test {
 protected:
  uint64_t Counted(Limit limit) const { return counters_.limits_reached[static_cast<size_t>(limit)].value(); }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    loop_->RunOnce(absl::ZeroDuration());
  }
  FakeClock clock_{absl::UnixEpoch()};
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  ConnectionCounters counters_;
  LimitsReached limits_{loop_.get(), &counters_};
};

TEST_F(LimitsReachedTest, EveryTimeIsCountedAndFewAreLogged) {
  for (int i = 0; i < 1000; ++i) limits_.Reached(Limit::kHandshakes, "turned away");
  EXPECT_EQ(Counted(Limit::kHandshakes), 1000u);
  EXPECT_EQ(limits_.lines(), 1u);
  limits_.Reached(Limit::kConnections, "turned away");
  EXPECT_EQ(limits_.lines(), 2u) << "each limit has a line of its own";
  Pass(LimitsReached::kLogInterval);
  for (int i = 0; i < 1000; ++i) limits_.Reached(Limit::kHandshakes, "turned away");
  EXPECT_EQ(limits_.lines(), 3u);
}

TEST_F(LimitsReachedTest, ALimitOfTimeHasTheConnectionsLines) {
  limits_.Reached(Limit::kIdleTimeout, "closed");
  EXPECT_EQ(Counted(Limit::kIdleTimeout), 1u);
  EXPECT_EQ(limits_.lines(), 0u);
}

TEST(LimitName, EachHasItsOwn) {
  std::set<std::string> names;
  for (size_t i = 0; i < kLimitCount; ++i) names.insert(std::string(LimitName(static_cast<Limit>(i))));
  EXPECT_EQ(names.size(), kLimitCount);
  EXPECT_EQ(names.count("unknown"), 0u);
}

TEST(LimitOf, ReasonsThatAreNoLimitHaveNone) {
  EXPECT_EQ(LimitOf(CloseReason::kNormal), std::nullopt);
  EXPECT_EQ(LimitOf(CloseReason::kBanned), std::nullopt);
  EXPECT_EQ(LimitOf(CloseReason::kLimitPeerConnections), Limit::kConnectionsPerPeer);
  EXPECT_EQ(LimitOf(CloseReason::kHalfClosedTimeout), Limit::kHalfClosedTimeout);
}

}  // namespace
}  // namespace lanyard
