#include "identity/authority/schedule.h"

#include <condition_variable>
#include <mutex>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

// Counts runs, and lets a test wait for them.
class Runs {
 public:
  int Add() {
    std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_all();
    return ++count_;
  }
  bool WaitFor(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return count_ >= count; });
  }
  int count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

TEST(ScheduleTest, ComesBackWhenItIsTime) {
  FakeRandom random;
  Runs runs;
  const absl::Time start = SystemClock().Now();
  const Schedule schedule(
      [&]() -> absl::StatusOr<absl::Time> {
        runs.Add();
        return SystemClock().Now() + absl::Milliseconds(20);
      },
      start, SystemClock(), random);
  EXPECT_TRUE(runs.WaitFor(4));
  EXPECT_GE(SystemClock().Now() - start, absl::Milliseconds(60));
}

TEST(ScheduleTest, TriesAgainAfterAnError) {
  FakeRandom random;
  Runs runs;
  const Schedule schedule(
      [&]() -> absl::StatusOr<absl::Time> {
        if (runs.Add() < 3) return absl::ResourceExhaustedError("the disk is full");
        return absl::InfiniteFuture();
      },
      SystemClock().Now(), SystemClock(), random);
  EXPECT_TRUE(runs.WaitFor(3));
}

TEST(ScheduleTest, EndsAtOnceWhileItWaits) {
  FakeRandom random;
  Runs runs;
  const absl::Time start = SystemClock().Now();
  {
    const Schedule schedule(
        [&]() -> absl::StatusOr<absl::Time> {
          runs.Add();
          return absl::InfiniteFuture();
        },
        start, SystemClock(), random);
    ASSERT_TRUE(runs.WaitFor(1));
  }
  EXPECT_EQ(runs.count(), 1);
  EXPECT_LT(SystemClock().Now() - start, Schedule::kMaxWait);
}

TEST(ScheduleTest, RunsEarlierWhenSomethingIsDueEarlier) {
  FakeRandom random;
  const Clock& clock = SystemClock();
  Runs runs;
  Schedule schedule(
      [&]() -> absl::StatusOr<absl::Time> {
        runs.Add();
        return absl::InfiniteFuture();
      },
      absl::InfiniteFuture(), clock, random);
  schedule.RunBy(clock.Now());
  EXPECT_TRUE(runs.WaitFor(1));
  schedule.RunBy(clock.Now() + absl::Milliseconds(20));
  schedule.RunBy(absl::InfiniteFuture());
  EXPECT_TRUE(runs.WaitFor(2)) << "the earliest counts";
}

TEST(ScheduleTest, RunsWhenTheClockWasSetBack) {
  FakeRandom random;
  FakeClock clock;
  Runs runs;
  const absl::Time start = clock.Now();
  Schedule schedule(
      [&]() -> absl::StatusOr<absl::Time> {
        runs.Add();
        return start + absl::Hours(1);
      },
      start, clock, random);
  ASSERT_TRUE(runs.WaitFor(1));
  clock.JumpTo(start - absl::Hours(1));
  schedule.RunBy(start + absl::Minutes(1));  // it looks at the clock, and that is not due
  EXPECT_TRUE(runs.WaitFor(2));
}

TEST(ScheduleTest, NothingRunsOnceItHasStopped) {
  FakeRandom random;
  const Clock& clock = SystemClock();
  Runs runs;
  Schedule schedule(
      [&]() -> absl::StatusOr<absl::Time> {
        runs.Add();
        return absl::InfiniteFuture();
      },
      absl::InfiniteFuture(), clock, random);
  schedule.Stop();
  schedule.RunBy(clock.Now());
  schedule.Stop();
  EXPECT_EQ(runs.count(), 0);
}

}  // namespace
}  // namespace lanyard
