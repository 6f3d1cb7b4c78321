#include "tests/bench/aead.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lanyard::bench {
namespace {

constexpr uint64_t kLeastNs = 2'000'000;

// The least of several: a machine whose processors are others' too counts what they took as this thread's.
double LeastOfSeveral(size_t plaintext_bytes) {
  double least = SealAndOpenNs(plaintext_bytes, kLeastNs);
  for (int i = 0; i < 9; ++i) least = std::min(least, SealAndOpenNs(plaintext_bytes, kLeastNs));
  return least;
}

TEST(Aead, ALargeRecordCostsMoreThanASmallOneButLessAByte) {
  const double small = LeastOfSeveral(64);
  const double large = LeastOfSeveral(16384);
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
