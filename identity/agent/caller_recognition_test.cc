#include "identity/agent/caller_recognition.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);
using Caller = absl::StatusOr<CallerRecognition::Caller>;

bool Never(const SelectorSet&) { return false; }
bool Always(const SelectorSet&) { return true; }

class CallerRecognitionTest : public testing::Test {
 protected:
  // The process `pid` as of user `uid`.
  static std::shared_ptr<const LocalPeer> Peer(uid_t uid, pid_t pid = getpid()) {
    return std::make_shared<const LocalPeer>(pid, uid, getgid(), PidfdOpen(pid));
  }
  const std::shared_ptr<const void> wanted_ = std::make_shared<int>();
  FakeProcessInfo processes_;
};

TEST_F(CallerRecognitionTest, AnswersEveryCaller) {
  CallerRecognition recognition(processes_, {});
  absl::BlockingCounter left(50);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(recognition.Submit(SelfPeer(), wanted_, Never, [&](Caller caller) {
      EXPECT_TRUE(caller.ok() && caller->selectors.contains("unix:path:/usr/bin/app") && !caller->hashed);
      left.DecrementCount();
    }));
  }
  left.Wait();
  EXPECT_EQ(processes_.hashed, 0);
}

TEST_F(CallerRecognitionTest, HashesWhereThatMatters) {
  CallerRecognition recognition(processes_, {});
  absl::BlockingCounter left(2);
  for (const uid_t uid : {1, 2}) {
    ASSERT_TRUE(recognition.Submit(
        Peer(uid), wanted_, [](const SelectorSet& caller) { return caller.contains("unix:uid:2"); },
        [&, uid](Caller caller) {
          EXPECT_TRUE(caller.ok());
          EXPECT_EQ(caller->hashed, uid == 2);
          EXPECT_EQ(caller->selectors.contains("unix:sha256:abcd"), uid == 2);
          left.DecrementCount();
        }));
  }
  left.Wait();
  EXPECT_EQ(processes_.hashed, 1);
}

TEST_F(CallerRecognitionTest, RefusesWhenTooManyWait) {
  absl::Notification busy, go_on;
  std::atomic<bool> first = true;
  processes_.on_read = [&] {
    if (!first.exchange(false)) return;
    busy.Notify();
    go_on.WaitForNotification();
  };
  std::atomic<int> answered = 0, refused = 0;
  absl::Notification waited;
  CallerRecognition recognition(processes_, {.threads = 1, .max_waiting = 1});
  ASSERT_TRUE(recognition.Submit(SelfPeer(), wanted_, Never, [&](const Caller&) { ++answered; }));
  busy.WaitForNotification();
  EXPECT_TRUE(recognition.Submit(SelfPeer(), wanted_, Never, [&](const Caller&) {
    ++answered;
    waited.Notify();
  }));
  EXPECT_FALSE(recognition.Submit(SelfPeer(), wanted_, Never, [&](const Caller&) { ++refused; }));
  go_on.Notify();
  waited.WaitForNotification();
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(refused, 0);
}

TEST_F(CallerRecognitionTest, ABinaryThatTakesLongToHashHoldsUpItsOwnUserAlone) {
  IdleChild child;
  absl::Notification hashing, go_on;
  std::atomic<bool> first = true;
  processes_.on_hash = [&](pid_t pid) {
    if (pid != child.pid()) return;
    if (first.exchange(false)) hashing.Notify();
    go_on.WaitForNotification();
  };
  CallerRecognition recognition(processes_, {});
  std::atomic<int> slow = 0;
  absl::BlockingCounter all_slow(5);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(recognition.Submit(Peer(1001, child.pid()), wanted_, Always, [&](const Caller&) {
      ++slow;
      all_slow.DecrementCount();
    }));
  }
  hashing.WaitForNotification();
  absl::Notification other_user, not_hashed;
  ASSERT_TRUE(recognition.Submit(Peer(1002), wanted_, Always, [&](const Caller& caller) {
    EXPECT_TRUE(caller.ok() && caller->hashed);
    other_user.Notify();
  }));
  EXPECT_TRUE(other_user.WaitForNotificationWithTimeout(kLong));
  ASSERT_TRUE(recognition.Submit(Peer(1001), wanted_, Never, [&](const Caller&) { not_hashed.Notify(); }));
  EXPECT_TRUE(not_hashed.WaitForNotificationWithTimeout(kLong));
  EXPECT_EQ(slow, 0);
  go_on.Notify();
  all_slow.Wait();
}

TEST_F(CallerRecognitionTest, WhoIsGoneIsNotLookedAt) {
  absl::Notification busy, go_on;
  std::atomic<int> looked = 0;
  processes_.on_read = [&] {
    if (++looked > 1) return;
    busy.Notify();
    go_on.WaitForNotification();
  };
  CallerRecognition recognition(processes_, {.threads = 1});
  std::atomic<int> answered = 0;
  absl::Notification last;
  ASSERT_TRUE(recognition.Submit(SelfPeer(), wanted_, Never, [&](const Caller&) { ++answered; }));
  busy.WaitForNotification();
  auto briefly = std::make_shared<int>();
  ASSERT_TRUE(recognition.Submit(SelfPeer(), briefly, Never, [&](const Caller&) { ++answered; }));
  ASSERT_TRUE(recognition.Submit(SelfPeer(), wanted_, Never, [&](const Caller&) { last.Notify(); }));
  briefly.reset();
  go_on.Notify();
  EXPECT_TRUE(last.WaitForNotificationWithTimeout(kLong));
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(looked, 2);
}

}  // namespace
}  // namespace lanyard
