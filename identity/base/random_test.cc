#include "identity/base/random.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

TEST(SystemRandom, FillsEveryByteOfAnySize) {
  // A byte that stays zero in 64 fills has been left out (chance 2^-512 otherwise).
  for (size_t size : {0, 1, 7, 256, 100000}) {
    std::vector<uint8_t> seen(size, 0);
    for (int round = 0; round < 64; ++round) {
      std::vector<uint8_t> bytes(size, 0);
      SystemRandom().Fill(absl::MakeSpan(bytes));
      for (size_t i = 0; i < size; ++i) seen[i] |= bytes[i];
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), 0) << size;
  }
}

TEST(Random, HexHasTwoLowerCaseDigitsAByte) {
  FakeRandom random;
  random.FixBytes(0xaf);
  EXPECT_EQ(random.Hex(3), "afafaf");
  EXPECT_EQ(random.Hex(0), "");
  EXPECT_NE(SystemRandom().Hex(16), SystemRandom().Hex(16));
}

TEST(Random, UniformReachesItsEndsButNeverOne) {
  FakeRandom random;
  random.FixBytes(0);
  EXPECT_EQ(random.Uniform(), 0.0);
  random.FixBytes(0xff);
  EXPECT_LT(random.Uniform(), 1.0);
  EXPECT_GT(random.Uniform(), 0.999999);
}

TEST(FakeRandom, RepeatsForOneSeedAndDiffersForAnother) {
  FakeRandom a(7), b(7), c(8);
  const std::string first = a.Hex(32);
  EXPECT_EQ(first, b.Hex(32));
  EXPECT_NE(first, c.Hex(32));
  EXPECT_NE(first, a.Hex(32));
}

}  // namespace
}  // namespace lanyard
