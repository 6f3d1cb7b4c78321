#include "tests/bench/aead.h"

#include <gtest/gtest.h>

namespace lanyard::bench {
namespace {

constexpr uint64_t kLeastNs = 2'000'000;

TEST(Aead, ALargeRecordCostsMoreThanASmallOneButLessAByte) {
  const double small = SealAndOpenNs(64, kLeastNs);
  const double large = SealAndOpenNs(16384, kLeastNs);
  EXPECT_GT(small, 0);
  EXPECT_GT(large, small);
  EXPECT_LT(large / 16384, small / 64);
}

TEST(Aead, AnEmptyRecordHasItsTypeAndTagToSeal) { EXPECT_GT(SealAndOpenNs(0, kLeastNs), 0); }

TEST(Aead, RefusesWhatNoRecordHolds) {
  EXPECT_EXIT(SealAndOpenNs(16385, kLeastNs), testing::ExitedWithCode(1), "at most 16384 bytes");
}

}  // namespace
}  // namespace lanyard::bench
