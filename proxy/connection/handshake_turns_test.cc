#include "proxy/connection/handshake_turns.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"

namespace lanyard {
namespace {

constexpr absl::Duration kStep = absl::Microseconds(300);

// A stream whose readiness costs some of the turn.
class Busy : public IoHandler {
 public:
  Busy(FakeClock* clock, absl::Duration cost) : clock_(clock), cost_(cost) {}
  void OnIo(uint32_t) override { clock_->Advance(cost_); }

 private:
  FakeClock* clock_;
  absl::Duration cost_;
};

class HandshakeTurnsTest : public testing::Test {
 protected:
  void Ask(int number) {
    turns_.Ask(&places_[number], [this, number] {
      taken_.push_back(number);
      clock_.Advance(kStep);
    });
  }
  void Turn(absl::Duration streams = absl::ZeroDuration()) {
    Busy busy(&clock_, streams);
    poller_->Queue(&busy, EPOLLIN);
    loop_->RunOnce(absl::ZeroDuration());
  }
  FakeClock clock_{absl::UnixEpoch()};
  FakePoller* poller_ = new FakePoller(&clock_);
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::unique_ptr<Poller>(poller_), &clock_).value();
  HandshakeTurns turns_{loop_.get()};
  std::vector<int> taken_;
  HandshakePlace places_[10];
};

TEST_F(HandshakeTurnsTest, AQuietTurnTakesOneStepSoThatStreamsAreAskedInBetween) {
  for (int number = 0; number < 4; ++number) Ask(number);
  EXPECT_TRUE(taken_.empty()) << "never at once";
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({0}));
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({0, 1}));
  EXPECT_EQ(turns_.waiting(), 2u);
}

TEST_F(HandshakeTurnsTest, ATurnFullOfStreamsGivesHandshakesAsLongAsTheyTook) {
  for (int number = 0; number < 10; ++number) Ask(number);
  Turn(2 * kStep);
  EXPECT_EQ(taken_.size(), 2u);
}

TEST_F(HandshakeTurnsTest, NoTurnIsLongBecauseItsStreamsWere) {
  for (int number = 0; number < 10; ++number) Ask(number);
  Turn(absl::Seconds(1));
  EXPECT_EQ(taken_.size(), 4u) << "1 ms of steps of 300 us";
}

TEST_F(HandshakeTurnsTest, HeWhoAsksAgainWaitsBehindTheOthers) {
  Ask(0);
  Ask(1);
  Ask(0);
  Turn();
  Ask(0);
  Turn();
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({0, 1, 0}));
  EXPECT_EQ(turns_.waiting(), 0u);
}

TEST_F(HandshakeTurnsTest, WhoLeavesIsNotCalled) {
  Ask(0);
  Ask(1);
  {
    HandshakePlace gone;
    turns_.Ask(&gone, [] { FAIL() << "it is gone"; });
  }
  places_[0].Leave();
  for (int turn = 0; turn < 4; ++turn) Turn();
  EXPECT_EQ(taken_, std::vector<int>({1}));
}

TEST_F(HandshakeTurnsTest, APlaceMayEndWithItsStep) {
  auto place = std::make_unique<HandshakePlace>();
  turns_.Ask(place.get(), [&] { place.reset(); });
  Ask(1);
  Turn();
  Turn();
  EXPECT_EQ(place, nullptr);
  EXPECT_EQ(taken_, std::vector<int>({1}));
}

}  // namespace
}  // namespace lanyard
