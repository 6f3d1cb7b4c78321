#include "identity/agent/caller_recognition.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

TEST(CallerRecognitionTest, AnswersEveryCaller) {
  FakeProcessInfo processes;
  CallerRecognition recognition(processes, 2, 100);
  absl::BlockingCounter left(50);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(recognition.Submit(SelfPeer(), false, [&](absl::StatusOr<SelectorSet> selectors) {
      EXPECT_TRUE(selectors.ok() && selectors->contains("unix:path:/usr/bin/app"));
      left.DecrementCount();
    }));
  }
  left.Wait();
}

TEST(CallerRecognitionTest, RefusesWhenTooManyWait) {
  FakeProcessInfo processes;
  absl::Notification busy, go_on;
  std::atomic<bool> first = true;
  processes.on_read = [&] {
    if (!first.exchange(false)) return;
    busy.Notify();
    go_on.WaitForNotification();
  };
  std::atomic<int> answered = 0, refused = 0;
  absl::Notification waited;
  CallerRecognition recognition(processes, 1, 1);
  ASSERT_TRUE(recognition.Submit(SelfPeer(), false, [&](auto) { ++answered; }));
  busy.WaitForNotification();
  EXPECT_TRUE(recognition.Submit(SelfPeer(), false, [&](auto) {
    ++answered;
    waited.Notify();
  }));
  EXPECT_FALSE(recognition.Submit(SelfPeer(), false, [&](auto) { ++refused; }));
  go_on.Notify();
  waited.WaitForNotification();
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(refused, 0);
}

}  // namespace
}  // namespace lanyard
