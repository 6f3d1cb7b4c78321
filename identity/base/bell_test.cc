#include "identity/base/bell.h"

#include <thread>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(BellTest, WhoWaitsHearsOfAChange) {
  absl::Mutex mutex;
  Bell bell;
  bool changed = false;
  std::thread other([&] {
    absl::MutexLock lock(&mutex);
    changed = true;
    bell.Ring();
  });
  {
    absl::MutexLock lock(&mutex);
    EXPECT_TRUE(bell.AwaitFor(mutex, absl::InfiniteDuration(), [&] { return changed; }));
  }
  other.join();
}

TEST(BellTest, AWaitEndsByItself) {
  absl::Mutex mutex;
  Bell bell;
  absl::MutexLock lock(&mutex);
  EXPECT_FALSE(bell.AwaitFor(mutex, absl::Milliseconds(1), [] { return false; }));
  EXPECT_FALSE(bell.AwaitFor(mutex, -absl::InfiniteDuration(), [] { return false; }));
  EXPECT_TRUE(bell.AwaitFor(mutex, absl::ZeroDuration(), [] { return true; }));
  mutex.AssertHeld();
}

TEST(BellTest, OthersMayHaveTheMutexMeanwhile) {
  absl::Mutex mutex;
  Bell bell;
  int asked = 0;
  bool waiting = false, done = false;
  std::thread other([&] {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&waiting));  // which is set by who holds the mutex, so that it waits by then
    bell.Ring();
    done = true;
    bell.Ring();
  });
  {
    absl::MutexLock lock(&mutex);
    waiting = true;
    EXPECT_TRUE(bell.AwaitFor(mutex, absl::Hours(1), [&] {
      ++asked;
      return done;
    }));
  }
  other.join();
  EXPECT_GE(asked, 2);
}

}  // namespace
}  // namespace lanyard
