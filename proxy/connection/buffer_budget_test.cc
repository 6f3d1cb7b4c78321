#include "proxy/connection/buffer_budget.h"

#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr size_t kRoom = 65536;
constexpr uint64_t kConnections = 10;
constexpr uint64_t kLimit = BufferBudget::LeastOf(kConnections) + 2 * kRoom;

class BufferBudgetTest : public testing::Test {
 protected:
  // A direction that reads what it may, and whose receiver takes nothing.
  size_t Stall() {
    held_.push_back(budget_.MayRead(kRoom));
    budget_.Changed(0, held_.back());
    return held_.back();
  }
  int reached_ = 0;
  std::vector<size_t> held_;
  BufferPool pool_{kRoom};
  BufferBudget budget_{&pool_, kLimit, kConnections, [this] { ++reached_; }};
};

TEST_F(BufferBudgetTest, BelowTheLimitReadsAreWhole) {
  EXPECT_EQ(Stall(), kRoom);
  EXPECT_EQ(Stall(), kRoom);
  EXPECT_EQ(reached_, 0);
  EXPECT_FALSE(pool_.frugal());
}

TEST_F(BufferBudgetTest, AtTheLimitEverybodyGoesOnALittleAtATime) {
  for (int i = 0; i < 3; ++i) Stall();
  EXPECT_EQ(held_[2], 2 * BufferBudget::kLeastBytes) << "what those before left of their own";
  for (uint64_t i = 3; i < 2 * kConnections; ++i) EXPECT_EQ(Stall(), BufferBudget::kLeastBytes);
  EXPECT_GE(reached_, 17);
  EXPECT_TRUE(pool_.frugal());
  uint64_t all = 0;
  for (size_t held : held_) all += held;
  EXPECT_LE(all, kLimit) << "with every direction of every connection stalled";
}

TEST_F(BufferBudgetTest, WhatIsTakenIsThereForAll) {
  for (int i = 0; i < 5; ++i) Stall();
  budget_.Changed(held_[0], 100);
  budget_.Changed(100, 0);
  EXPECT_GT(budget_.MayRead(kRoom), kRoom / 2);
  for (size_t i = 1; i < held_.size(); ++i) budget_.Changed(held_[i], 0);
  EXPECT_EQ(budget_.held_bytes(), 0u);
  EXPECT_FALSE(pool_.frugal());
  EXPECT_EQ(budget_.MayRead(kRoom), kRoom);
}

TEST_F(BufferBudgetTest, ASmallRoomIsNeverCutDown) {
  for (int i = 0; i < 5; ++i) Stall();
  const int before = reached_;
  EXPECT_EQ(budget_.MayRead(1000), 1000u);
  EXPECT_EQ(reached_, before);
}

}  // namespace
}  // namespace lanyard
