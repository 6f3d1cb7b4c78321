#include "proxy/connection/counters.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(ConnectionCounters, ASnapshotNamesWhatHappenedAndLeavesOutWhatDidNot) {
  ConnectionCounters counters;
  counters.accepted[static_cast<size_t>(Flow::kInbound)].Add();
  counters.open[static_cast<size_t>(Flow::kOutbound)].Add(3);
  counters.open[static_cast<size_t>(Flow::kOutbound)].Subtract();
  counters.closes[static_cast<size_t>(Flow::kOutbound)][static_cast<size_t>(CloseReason::kIdle)].Add(4);
  counters.verification_failures[static_cast<size_t>(SvidDefect::kExpired)].Add();
  counters.view_version.Set(9);
  counters.limits_reached[static_cast<size_t>(Limit::kHandshakes)].Add(2);
  const WorkerCounters shot = counters.Snapshot();
  EXPECT_EQ(shot.accepted_inbound, 1u);
  EXPECT_EQ(shot.accepted_outbound, 0u);
  EXPECT_EQ(shot.open_outbound, 2u);
  EXPECT_EQ(shot.view_version, 9u);
  EXPECT_EQ(shot.limits_reached.size(), kLimitCount) << "those never reached too";
  EXPECT_EQ(shot.limits_reached[1], (std::pair<std::string, uint64_t>{"max_handshakes", 2}));
  EXPECT_TRUE(shot.closes_inbound.empty());
  EXPECT_EQ(shot.closes_outbound, (std::vector<std::pair<std::string, uint64_t>>{{"idle", 4}}));
  ASSERT_EQ(shot.verification_failures.size(), 1u);
  EXPECT_EQ(shot.verification_failures[0].first, SvidDefectName(SvidDefect::kExpired));
}

TEST(DurationHistogram, EachDurationIsInTheFirstBucketThatHoldsIt) {
  DurationHistogram histogram;
  histogram.Add(absl::ZeroDuration());
  histogram.Add(absl::Microseconds(250));
  histogram.Add(absl::Microseconds(251));
  histogram.Add(absl::Milliseconds(60));
  histogram.Add(absl::Hours(100));
  histogram.Add(absl::Milliseconds(-5));  // a clock that went back counts as no time
  const DurationCounts shot = histogram.Snapshot();
  EXPECT_EQ(shot.counts[0], 3u);
  EXPECT_EQ(shot.counts[1], 1u);
  EXPECT_EQ(shot.counts[4], 1u);
  EXPECT_EQ(shot.counts.back(), 1u);
  EXPECT_NEAR(shot.sum_seconds, 360'000.060501, 1e-6);
}

TEST(DurationHistogram, ItsBoundsAreThoseThatAreShown) {
  for (size_t i = 0; i < kDurationBoundsSeconds.size(); ++i) {
    DurationHistogram histogram;
    histogram.Add(absl::Seconds(kDurationBoundsSeconds[i]));
    EXPECT_EQ(histogram.Snapshot().counts[i], 1u) << i;
    histogram.Add(absl::Seconds(kDurationBoundsSeconds[i]) + absl::Microseconds(1));
    EXPECT_EQ(histogram.Snapshot().counts[i + 1], 1u) << i;
  }
}

}  // namespace
}  // namespace lanyard
