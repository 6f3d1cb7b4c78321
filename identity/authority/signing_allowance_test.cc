#include "identity/authority/signing_allowance.h"

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/registry/entry.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLifetime = absl::Hours(1);
constexpr int kAtOnce = SigningAllowance::kAtOnce;

SpiffeId Agent(const char* name) { return *AgentId(*TrustDomain::Parse("example.org"), name); }

class SigningAllowanceTest : public testing::Test {
 protected:
  absl::Status Take(const char* agent = "n1", const std::string& entry = "web") {
    return allowance_.Take(Agent(agent), entry, kLifetime);
  }
  FakeClock clock_;
  SigningAllowance allowance_{clock_};
};

TEST_F(SigningAllowanceTest, SoManyAtOnceAndNoMore) {
  for (int i = 0; i < kAtOnce; ++i) ASSERT_TRUE(Take().ok()) << i;
  const absl::Status refused = Take();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_NE(refused.message().find("the next one in 3m45s"), absl::string_view::npos) << refused;
  EXPECT_TRUE(Take("n1", "db").ok()) << "another entry";
  EXPECT_TRUE(Take("n2").ok()) << "another agent";
  clock_.Advance(kLifetime / SigningAllowance::kInALifetime);
  EXPECT_TRUE(Take().ok());
  EXPECT_FALSE(Take().ok());
}

TEST_F(SigningAllowanceTest, WhoAsksWithoutEndHasNoMoreAliveThanItSays) {
  int taken = 0;
  for (const absl::Duration start = clock_.Monotonic(); clock_.Monotonic() - start < kLifetime;) {
    while (Take().ok()) ++taken;
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_LE(taken, kAtOnce + SigningAllowance::kInALifetime);
}

TEST_F(SigningAllowanceTest, RenewingAtHalfLifeNeverMeetsIt) {
  for (const absl::Duration lifetime : {absl::Seconds(2), kLifetime}) {
    for (int renewal = 0; renewal < 100; ++renewal) {
      ASSERT_TRUE(allowance_.Take(Agent("n1"), "web", lifetime).ok());
      // And each second answer is lost: it is asked for again in a moment.
      ASSERT_TRUE(allowance_.Take(Agent("n1"), "web", lifetime).ok());
      clock_.Advance(lifetime * 0.4);
    }
    clock_.Advance(lifetime);
  }
}

TEST_F(SigningAllowanceTest, WhatWasNotHandedOutDoesNotCount) {
  for (int i = 0; i < 3 * kAtOnce; ++i) {
    ASSERT_TRUE(Take().ok());
    allowance_.GiveBack(Agent("n1"), "web", kLifetime);
  }
  allowance_.GiveBack(Agent("n2"), "web", kLifetime);  // never taken
  for (int i = 0; i < kAtOnce; ++i) ASSERT_TRUE(Take().ok()) << i;
  EXPECT_FALSE(Take().ok()) << "giving back makes no more of it";
}

TEST_F(SigningAllowanceTest, RemembersALimitedNumberAndForgetsThoseAtRestFirst) {
  SigningAllowance small(clock_, 2);
  ASSERT_TRUE(small.Take(Agent("n1"), "a", kLifetime).ok());
  ASSERT_TRUE(small.Take(Agent("n2"), "a", kLifetime).ok());
  EXPECT_TRUE(small.Take(Agent("n3"), "a", kLifetime).ok()) << "nobody is refused for others";
  EXPECT_EQ(small.pairs(), 2u);
  EXPECT_EQ(small.not_remembered(), 1u);
  clock_.Advance(kLifetime);
  ASSERT_TRUE(small.Take(Agent("n3"), "a", kLifetime).ok());
  EXPECT_EQ(small.pairs(), 1u);
  EXPECT_EQ(small.not_remembered(), 1u);
}

}  // namespace
}  // namespace lanyard
