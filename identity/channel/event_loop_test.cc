#include "identity/channel/event_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    ours.Reset(ends[0]);
    watched.Reset(ends[1]);
  }
  Descriptor ours, watched;
};

struct Counting : EventLoop::Handler {
  void OnReady(uint32_t events) override {
    ++calls;
    last = events;
    if (on_ready) on_ready();
  }
  int calls = 0;
  uint32_t last = 0;
  std::function<void()> on_ready;
};

TEST(EventLoopTest, RunsTasksInOrderOnItsThread) {
  const auto loop = *EventLoop::Start("test");
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) loop->Post([&ran, i] { ran.push_back(i); });
  bool elsewhere = false;
  loop->RunAndWait([&, caller = std::this_thread::get_id()] { elsewhere = std::this_thread::get_id() != caller; });
  EXPECT_TRUE(elsewhere);
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
}

TEST(EventLoopTest, AfterStopTasksAreDroppedAndNobodyWaits) {
  const auto loop = *EventLoop::Start("test");
  loop->Stop();
  bool ran = false;
  loop->Post([&] { ran = true; });
  loop->RunAndWait([&] { ran = true; });
  loop->Stop();
  EXPECT_FALSE(ran);
}

TEST(EventLoopTest, TimersRunInOrderOfTimeAndMayBeCancelled) {
  const auto loop = *EventLoop::Start("test");
  std::vector<int> ran;
  absl::Notification done;
  // So far apart that no delay between the calls changes their order; all due in one turn is as well.
  loop->RunAndWait([&] {
    loop->After(absl::Milliseconds(1000), [&] {
      ran.push_back(2);
      done.Notify();
    });
    const auto cancelled = loop->After(absl::Milliseconds(500), [&] { ran.push_back(0); });
    loop->After(absl::ZeroDuration(), [&ran, loop = loop.get(), cancelled] {
      ran.push_back(1);
      loop->Cancel(cancelled);
    });
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST(EventLoopTest, AHandlerHearsOfItsDescriptorUntilItForgets) {
  Pair pair;
  Counting handler;
  const auto loop = *EventLoop::Start("test");
  absl::Notification ready;
  handler.on_ready = [&] {
    loop->Forget(pair.watched.get());
    ready.Notify();
  };
  loop->RunAndWait([&] { EXPECT_TRUE(loop->Watch(pair.watched.get(), EPOLLIN, &handler)); });
  ASSERT_EQ(write(pair.ours.get(), "x", 1), 1);
  ASSERT_TRUE(ready.WaitForNotificationWithTimeout(absl::Seconds(20)));
  loop->RunAndWait([] {});
  loop->Stop();
  EXPECT_EQ(handler.calls, 1);   // level-triggered: it would have been called again
  EXPECT_TRUE(handler.last & EPOLLIN);
}

// Both descriptors are ready in the same turn; whoever comes first puts the other's number to new use.
TEST(EventLoopTest, AnEventOfAClosedDescriptorDoesNotReachTheNextOwnerOfItsNumber) {
  Pair pairs[2];
  Pair fresh;
  Counting handlers[2], newcomer;
  const auto loop = *EventLoop::Start("test");
  for (int i = 0; i < 2; ++i) {
    handlers[i].on_ready = [&, i] {
      const int other = pairs[1 - i].watched.get();
      loop->Forget(pairs[i].watched.get());
      loop->Forget(other);
      EXPECT_EQ(dup2(fresh.watched.get(), other), other);
      EXPECT_TRUE(loop->Watch(other, EPOLLIN, &newcomer));
    };
  }
  loop->RunAndWait([&] {
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(loop->Watch(pairs[i].watched.get(), EPOLLIN, &handlers[i]));
      EXPECT_EQ(write(pairs[i].ours.get(), "x", 1), 1);
    }
  });
  loop->RunAndWait([] {});
  loop->RunAndWait([] {});
  loop->Stop();
  EXPECT_EQ(handlers[0].calls + handlers[1].calls, 1);
  EXPECT_EQ(newcomer.calls, 0);
}

}  // namespace
}  // namespace lanyard
