#include "proxy/control/observed_reporter.h"

#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/control/fake_worker_handle.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

ObservedCall Call(const std::string& key, uint64_t count, absl::Time last_seen = kNow) {
  ObservedCall call;
  call.direction = "inbound";
  call.local_id = "spiffe://td/web";
  call.captured = true;
  call.key = call.peer_id = key;
  call.count = count;
  call.last_seen = last_seen;
  return call;
}

TEST(ReportOf, ACallOfSeveralWorkersIsOneAndTheLatestComesFirst) {
  const ObservedReport report =
      ReportOf({Call("a", 1), Call("b", 2, kNow + absl::Seconds(1)), Call("a", 3, kNow - absl::Hours(1))}, 7, kNow);
  ASSERT_EQ(report.calls.size(), 2u);
  EXPECT_EQ(report.calls[0].peer_id, "b");
  EXPECT_EQ(report.calls[1].count, 4u);
  EXPECT_EQ(report.calls[1].last_seen, kNow);
  EXPECT_EQ(report.left_out, 7u);
  EXPECT_EQ(report.at, kNow);
}

TEST(ReportOf, StaticListenersAndCallsBeforeAnyIdentityAreNoMatterOfTheMesh) {
  ObservedCall by_listener = Call("a", 1), early = Call("b", 1);
  by_listener.captured = false;
  early.local_id = "";
  EXPECT_TRUE(ReportOf({by_listener, early}, 0, kNow).calls.empty());
}

class ObservedReporterTest : public testing::Test {
 protected:
  ~ObservedReporterTest() override { loop_.Stop(); }
  void Start(absl::Duration worker_timeout = kWorkerTimeout) {
    reporter_ = std::make_unique<ObservedReporter>(
        ObservedReporter::Options{.loop = &loop_,
                                  .workers = {&a_, &b_},
                                  .clock = &clock_,
                                  .report =
                                      [this](std::shared_ptr<const ObservedReport> report) {
                                        absl::MutexLock lock(&mutex_);
                                        reports_.push_back(std::move(report));
                                      },
                                  .interval = absl::Milliseconds(2),
                                  .longest_silence = absl::Minutes(1),
                                  .worker_timeout = worker_timeout});
    reporter_->Start();
    loop_.Start();
  }
  bool WaitForReports(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return reports_.size() >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  std::vector<std::shared_ptr<const ObservedReport>> reports() {
    absl::MutexLock lock(&mutex_);
    return reports_;
  }

  FakeClock clock_;
  FakeWorkerHandle a_, b_;
  absl::Mutex mutex_;
  std::vector<std::shared_ptr<const ObservedReport>> reports_;
  ControlLoop loop_;
  std::unique_ptr<ObservedReporter> reporter_;
};

TEST_F(ObservedReporterTest, TellsWhatChangedAndWhatDidNotNowAndThen) {
  a_.SetObserved({Call("a", 1)});
  b_.SetObserved({Call("b", 1)});
  Start();
  ASSERT_TRUE(WaitForReports(1));
  EXPECT_EQ(reports()[0]->calls.size(), 2u);
  a_.SetObserved({Call("a", 2)});
  ASSERT_TRUE(WaitForReports(2));
  EXPECT_EQ(reports().size(), 2u) << "what did not change is told after a minute";
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(WaitForReports(3));
  EXPECT_EQ(reports()[2]->calls.size(), 2u);
}

TEST_F(ObservedReporterTest, ARoundInWhichAWorkerIsSilentIsLeftOut) {
  a_.SetObserved({Call("a", 1)});
  b_.Mute();
  Start(absl::Milliseconds(1));
  absl::Notification some_rounds_later;
  loop_.Post([&] { loop_.After(absl::Milliseconds(100), [&] { some_rounds_later.Notify(); }); });
  ASSERT_TRUE(some_rounds_later.WaitForNotificationWithTimeout(kLong));
  EXPECT_TRUE(reports().empty());
}

TEST_F(ObservedReporterTest, WhatAWorkerForgotIsCounted) {
  WorkerCounters counters;
  counters.observed_forgotten = 4;
  a_.SetCounters(counters);
  b_.SetCounters(counters);
  Start();
  ASSERT_TRUE(WaitForReports(1));
  EXPECT_EQ(reports()[0]->left_out, 8u);
}

}  // namespace
}  // namespace lanyard
