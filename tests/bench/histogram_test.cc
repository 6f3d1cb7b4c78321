#include "tests/bench/histogram.h"

#include <gtest/gtest.h>

namespace lanyard::bench {
namespace {

TEST(Histogram, IsZeroWhileEmpty) {
  Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.PercentileNs(50), 0u);
  EXPECT_EQ(histogram.max_ns(), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 60; ++value) histogram.Add(value);
  EXPECT_EQ(histogram.PercentileNs(50), 30u);
  EXPECT_EQ(histogram.PercentileNs(100), 60u);
}

TEST(Histogram, PercentilesAreWithinOneSixtyFourth) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100'000; ++value) histogram.Add(value * 1000);
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    const double exact = percent * 1'000'000;
    const double got = static_cast<double>(histogram.PercentileNs(percent));
    EXPECT_GE(got, exact) << percent;
    EXPECT_LE(got, exact * (1 + 1.0 / 64)) << percent;
  }
}

TEST(Histogram, NeverReportsMoreThanTheLargestValue) {
  Histogram histogram;
  histogram.Add(1'000'000'007);
  EXPECT_EQ(histogram.PercentileNs(50), 1'000'000'007u);
  EXPECT_EQ(histogram.PercentileNs(99), 1'000'000'007u);
}

TEST(Histogram, TakesTheLargestValueThereIs) {
  Histogram histogram;
  histogram.Add(~uint64_t{0});
  EXPECT_EQ(histogram.PercentileNs(100), ~uint64_t{0});
}

TEST(Histogram, OneOutlierInAHundredIsNotInThe99thPercentile) {
  Histogram histogram;
  for (int i = 0; i < 99; ++i) histogram.Add(10);
  histogram.Add(5'000'000);
  EXPECT_EQ(histogram.PercentileNs(99), 10u);
  EXPECT_EQ(histogram.PercentileNs(99.5), 5'000'000u);
}

}  // namespace
}  // namespace lanyard::bench
