#include "identity/agent/caller_watch.h"

#include <gtest/gtest.h>

#include <thread>

#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);

TEST(CallerWatchTest, ReportsEveryIdOfAPeerThatExitedAndNoOther) {
  auto watch = *CallerWatch::Create();
  IdleChild child, other;
  const auto peer = child.Peer();
  ASSERT_TRUE(watch->Add(1, peer).ok());
  ASSERT_TRUE(watch->Add(2, other.Peer()).ok());
  ASSERT_TRUE(watch->Add(3, peer).ok());
  EXPECT_TRUE(watch->Wait(absl::ZeroDuration()).empty());
  child.End();
  EXPECT_EQ(watch->Wait(kLong), (std::vector<uint64_t>{1, 3}));
}

TEST(CallerWatchTest, WhatWasRemovedIsNotReported) {
  auto watch = *CallerWatch::Create();
  IdleChild child;
  const auto peer = child.Peer();
  ASSERT_TRUE(watch->Add(1, peer).ok());
  ASSERT_TRUE(watch->Add(2, peer).ok());
  watch->Remove(1);
  child.End();
  EXPECT_EQ(watch->Wait(kLong), std::vector<uint64_t>{2});
  watch->Remove(2);
  watch->Remove(2);
  EXPECT_TRUE(watch->Wait(absl::ZeroDuration()).empty());
}

TEST(CallerWatchTest, APeerIsKeptUntilItsLastIdIsRemoved) {
  auto watch = *CallerWatch::Create();
  IdleChild child;
  auto peer = child.Peer();
  const std::weak_ptr<const LocalPeer> observed = peer;
  ASSERT_TRUE(watch->Add(1, std::move(peer)).ok());
  EXPECT_FALSE(observed.expired());
  watch->Remove(1);
  EXPECT_TRUE(observed.expired());
}

TEST(CallerWatchTest, WakeEndsTheWait) {
  auto watch = *CallerWatch::Create();
  std::thread waker([&] { watch->Wake(); });
  EXPECT_TRUE(watch->Wait(absl::InfiniteDuration()).empty());
  waker.join();
}

}  // namespace
}  // namespace lanyard
