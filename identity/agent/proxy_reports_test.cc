#include "identity/agent/proxy_reports.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);
using Report = std::vector<std::string>;

class ProxyReportsTest : public testing::Test {
 protected:
  void Start(absl::Duration retry = absl::Milliseconds(5), size_t max_bytes = 1 << 20) {
    reports_ = std::make_unique<ProxyReports>(ProxyReports::Options{
        .max_bytes = max_bytes, .gather = absl::Milliseconds(1), .retry = retry, .send = [this](const Report& report) {
          absl::MutexLock lock(&mutex_);
          sent_.push_back(report);
          return answer_;
        }});
  }
  bool WaitFor(const Report& report, size_t times = 1) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return std::count(sent_.begin(), sent_.end(), report) >= static_cast<long>(times); };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  bool WaitForLeftOut(uint64_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return reports_->left_out() >= count; };  // asked after each report
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  void Answer(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(status);
  }
  size_t sent() {
    absl::MutexLock lock(&mutex_);
    return sent_.size();
  }

  absl::Mutex mutex_;
  std::vector<Report> sent_;
  absl::Status answer_;
  std::unique_ptr<ProxyReports> reports_;
};

TEST_F(ProxyReportsTest, TellsAllOfThemAtEveryChange) {
  Start();
  reports_->Set(1, "a");
  EXPECT_TRUE(WaitFor({"a"}));
  reports_->Set(2, "b");
  EXPECT_TRUE(WaitFor({"a", "b"}));
  reports_->Remove(1);
  EXPECT_TRUE(WaitFor({"b"}));
  reports_->Remove(2);
  EXPECT_TRUE(WaitFor({}));
}

TEST_F(ProxyReportsTest, WhatDidNotChangeIsNotToldAgain) {
  Start();
  reports_->Set(1, "a");
  EXPECT_TRUE(WaitFor({"a"}));
  const size_t before = sent();
  reports_->Set(1, "a");
  reports_->Remove(7);
  reports_->Set(1, "b");
  EXPECT_TRUE(WaitFor({"b"}));
  EXPECT_EQ(sent(), before + 1);
}

TEST_F(ProxyReportsTest, AFailureIsTriedAgain) {
  Start();
  Answer(absl::UnavailableError("away"));
  reports_->Set(1, "a");
  EXPECT_TRUE(WaitFor({"a"}, 3));
}

TEST_F(ProxyReportsTest, ANewConnectionIsToldAtOnce) {
  Start(absl::InfiniteDuration());
  Answer(absl::UnavailableError("away"));
  reports_->Set(1, "a");
  EXPECT_TRUE(WaitFor({"a"}));
  Answer(absl::OkStatus());
  reports_->Connected();
  EXPECT_TRUE(WaitFor({"a"}, 2));
  reports_->Connected();
  EXPECT_TRUE(WaitFor({"a"}, 3));
}

TEST_F(ProxyReportsTest, AnAuthorityThatDoesNotKnowReportsIsNotAskedAgain) {
  Start();
  Answer(absl::UnimplementedError("no such call"));
  reports_->Set(1, "a");
  EXPECT_TRUE(WaitFor({"a"}));
  const size_t before = sent();
  reports_->Set(1, "b");
  EXPECT_TRUE(WaitFor({"b"}));
  EXPECT_EQ(sent(), before + 1);
}

TEST_F(ProxyReportsTest, NoMoreThanAMessageHolds) {
  Start();
  for (size_t i = 0; i <= ProxyReports::kMaxReported; ++i) reports_->Set(i, "a");
  EXPECT_TRUE(WaitFor(Report(ProxyReports::kMaxReported, "a")));
  EXPECT_TRUE(WaitForLeftOut(1)) << "that report may have been made before the last of them";
}

TEST_F(ProxyReportsTest, AReportThatDoesNotFitInBytesIsLeftOutAndOthersAreNot) {
  Start(absl::Milliseconds(5), 10);
  reports_->Set(1, "123456");
  reports_->Set(2, "too large");
  reports_->Set(3, "1234");
  EXPECT_TRUE(WaitFor({"123456", "1234"}));
  EXPECT_EQ(reports_->left_out(), 1u);
  // One that has grown too large is not told as it was before.
  reports_->Set(3, "12345");
  EXPECT_TRUE(WaitFor({"123456"}));
  reports_->Remove(1);
  reports_->Set(2, "fits now");
  EXPECT_TRUE(WaitFor({"fits now"}));
  EXPECT_EQ(reports_->left_out(), 2u);
}

}  // namespace
}  // namespace lanyard
