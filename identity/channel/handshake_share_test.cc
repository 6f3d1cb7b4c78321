#include "identity/channel/handshake_share.h"

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

class HandshakeShareTest : public testing::Test {
 protected:
  // All that follows but OnLoop: on the loop's thread.
  void OnLoop(const std::function<void()>& task) { loop_->RunAndWait(task); }
  void Start(absl::Duration most_of_a_turn) { share_ = std::make_unique<HandshakeShare>(*loop_, most_of_a_turn); }
  bool Ask(int number) {
    return share_->Ask(&owners_[number], [this, number] {
      taken_.push_back(number);
      turn_of_.push_back(turns_);
      if (number == kLast) done_.Notify();
    });
  }
  // Counts the loop's turns from now on.
  void CountTurns() {
    loop_->After(absl::ZeroDuration(), [this] {
      ++turns_;
      if (!done_.HasBeenNotified()) CountTurns();
    });
  }
  ~HandshakeShareTest() override {
    OnLoop([this] { share_.reset(); });
    loop_->Stop();
  }

  static constexpr int kLast = 9;
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Start("test");
  std::unique_ptr<HandshakeShare> share_;
  char owners_[kLast + 1] = {};
  std::vector<int> taken_, turn_of_;
  int turns_ = 0;
  absl::Notification done_;
};

TEST_F(HandshakeShareTest, WithinItsShareAStepIsTakenAtOnce) {
  OnLoop([this] {
    Start(absl::Hours(1));
    for (int number = 0; number <= kLast; ++number) EXPECT_TRUE(Ask(number));
    EXPECT_EQ(share_->waiting(), 0u);
  });
  EXPECT_EQ(taken_.size(), 10u);
}

TEST_F(HandshakeShareTest, BeyondItEachTurnTakesWhatItMayAndInOrder) {
  OnLoop([this] {
    Start(absl::ZeroDuration());
    CountTurns();
    EXPECT_TRUE(Ask(0)) << "one in any case";
    for (int number = 1; number <= kLast; ++number) EXPECT_FALSE(Ask(number));
    EXPECT_EQ(share_->waiting(), 9u);
    EXPECT_EQ(taken_, std::vector<int>({0}));
  });
  ASSERT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(60)));
  OnLoop([this] {
    EXPECT_EQ(taken_, std::vector<int>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    for (int number = 1; number <= kLast; ++number) EXPECT_GT(turn_of_[number], turn_of_[number - 1]) << number;
    EXPECT_EQ(share_->waiting(), 0u);
  });
}

TEST_F(HandshakeShareTest, WhoseOwnerIsGoneIsNotTaken) {
  OnLoop([this] {
    Start(absl::ZeroDuration());
    for (const int number : {0, 1, 2, 3, kLast}) Ask(number);
    share_->Forget(&owners_[1]);
    share_->Forget(&owners_[3]);
    share_->Forget(&owners_[0]);   // it has run
    EXPECT_EQ(share_->waiting(), 2u);
  });
  ASSERT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(60)));
  OnLoop([this] { EXPECT_EQ(taken_, std::vector<int>({0, 2, kLast})); });
}

// As when a connection ends another one, or itself.
TEST_F(HandshakeShareTest, AStepMayForgetOthers) {
  OnLoop([this] {
    Start(absl::ZeroDuration());
    Ask(0);
    share_->Ask(&owners_[1], [this] {
      share_->Forget(&owners_[1]);
      share_->Forget(&owners_[2]);
    });
    Ask(2);
    Ask(kLast);
  });
  ASSERT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(60)));
  OnLoop([this] { EXPECT_EQ(taken_, std::vector<int>({0, kLast})); });
}

TEST_F(HandshakeShareTest, ALaterTurnHasItsOwnShare) {
  OnLoop([this] {
    Start(absl::ZeroDuration());
    EXPECT_TRUE(Ask(0));
    EXPECT_FALSE(Ask(1));
    share_->Forget(&owners_[1]);
    loop_->After(absl::ZeroDuration(), [this] { EXPECT_TRUE(Ask(kLast)); });
  });
  ASSERT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(60)));
}

}  // namespace
}  // namespace lanyard
