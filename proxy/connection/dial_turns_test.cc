#include "proxy/connection/dial_turns.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"

namespace lanyard {
namespace {

class DialTurnsTest : public testing::Test {
 protected:
  bool Ask(int number) {
    return turns_.Ask(&places_[number], [this, number] {
      taken_.push_back(number);
      if (leaves_at_once_) places_[number].Leave();
    });
  }
  void Turn() { loop_->RunOnce(absl::ZeroDuration()); }

  FakeClock clock_{absl::UnixEpoch()};
  std::unique_ptr<EventLoop> loop_ =
      EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  DialTurns turns_{loop_.get(), 2};
  std::vector<int> taken_;
  bool leaves_at_once_ = false;
  DialPlace places_[8];
};

TEST_F(DialTurnsTest, AsManyAsMayAreAtItAndTheOthersFollowInTheirOrder) {
  EXPECT_TRUE(Ask(0));
  EXPECT_TRUE(Ask(1));
  for (int number = 2; number < 5; ++number) EXPECT_FALSE(Ask(number));
  Turn();
  EXPECT_TRUE(taken_.empty());
  places_[1].Leave();
  EXPECT_TRUE(taken_.empty()) << "never from within";
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({2}));
  places_[0].Leave();
  places_[2].Leave();
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({2, 3, 4}));
  EXPECT_EQ(turns_.waiting(), 0u);
}

TEST_F(DialTurnsTest, NobodyPassesThoseWhoWait) {
  Ask(0);
  Ask(1);
  Ask(2);
  places_[0].Leave();
  EXPECT_FALSE(Ask(3)) << "2 was first, though there is room";
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({2}));
}

TEST_F(DialTurnsTest, WhoLeavesIsNotCalledAndWhoHasLeftCountsOnce) {
  for (int number = 0; number < 5; ++number) Ask(number);
  places_[2].Leave();
  places_[0].Leave();
  places_[0].Leave();
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({3}));
  EXPECT_EQ(turns_.waiting(), 1u);
}

TEST_F(DialTurnsTest, ATurnThatIsNotNeededIsTheNextOnes) {
  for (int number = 0; number < 6; ++number) Ask(number);
  leaves_at_once_ = true;
  places_[0].Leave();
  Turn();
  EXPECT_EQ(taken_, std::vector<int>({2, 3, 4, 5}));
  EXPECT_TRUE(Ask(6));
  EXPECT_FALSE(Ask(7)) << "1 and 6 are at it";
}

TEST_F(DialTurnsTest, APlaceMayDieInItsTurn) {
  auto place = std::make_unique<DialPlace>();
  Ask(0);
  Ask(1);
  EXPECT_FALSE(turns_.Ask(place.get(), [&place] { place.reset(); }));
  Ask(2);
  places_[0].Leave();
  Turn();
  EXPECT_EQ(place, nullptr);
  EXPECT_EQ(taken_, std::vector<int>({2}));
}

}  // namespace
}  // namespace lanyard
