#include "proxy/control/control_loop.h"

#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

TEST(ControlLoop, RunsWhatWasPostedInOrderOnOneThread) {
  ControlLoop loop;
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  absl::Notification done;
  for (int i = 0; i < 3; ++i) {
    loop.Post([&, i] {
      order.push_back(i);
      threads.push_back(std::this_thread::get_id());
    });
  }
  loop.Start();
  loop.Post([&] { done.Notify(); });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_NE(threads[0], std::this_thread::get_id());
  EXPECT_EQ(threads[0], threads[2]);
}

TEST(ControlLoop, EveryGoesOnAndAfterDoesNot) {
  ControlLoop loop;
  int ticks = 0, once = 0;
  absl::Notification done;
  loop.After(absl::ZeroDuration(), [&] { ++once; });
  loop.Every(absl::Milliseconds(1), [&] {
    if (++ticks == 3) done.Notify();
  });
  loop.Start();
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  loop.Stop();
  EXPECT_GE(ticks, 3);
  EXPECT_EQ(once, 1);
}

TEST(ControlLoop, StopDropsWhatIsLeftAndIsIdempotent) {
  bool ran = false;
  {
    ControlLoop loop;
    loop.Start();
    loop.Stop();
    loop.Post([&] { ran = true; });
    loop.Stop();
  }
  EXPECT_FALSE(ran);
}

TEST(ControlLoop, MayEndWithoutEverHavingRun) {
  ControlLoop loop;
  loop.Every(absl::Milliseconds(1), [] {});
  loop.Post([] {});
}

}  // namespace
}  // namespace lanyard
