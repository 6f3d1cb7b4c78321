#include "proxy/mesh/connection_tap.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

ConnectionEvent Event(uint64_t id) {
  ConnectionEvent event;
  event.record.id = id;
  return event;
}

TEST(ConnectionTap, CallsOnceForABatchAndAgainForTheNext) {
  ConnectionTap tap;
  int calls = 0;
  tap.OnEvents([&calls] { ++calls; });
  EXPECT_FALSE(tap.watched());
  tap.SetWatched(true);
  EXPECT_TRUE(tap.watched());
  tap.Offer(Event(1));
  tap.Offer(Event(2));
  EXPECT_EQ(calls, 1);
  const ConnectionTap::Batch batch = tap.Take();
  ASSERT_EQ(batch.events.size(), 2u);
  EXPECT_EQ(batch.events[1].record.id, 2u);
  EXPECT_EQ(batch.lost, 0u);
  tap.Offer(Event(3));
  EXPECT_EQ(calls, 2);
}

TEST(ConnectionTap, WhatIsNotTakenInTimeIsLostAndCounted) {
  ConnectionTap tap;
  tap.SetWatched(true);
  for (size_t i = 0; i < ConnectionTap::kMaxWaiting + 5; ++i) tap.Offer(Event(i));
  const ConnectionTap::Batch batch = tap.Take();
  EXPECT_EQ(batch.events.size(), ConnectionTap::kMaxWaiting);
  EXPECT_EQ(batch.lost, 5u);
  EXPECT_EQ(tap.Take().lost, 0u);
}

TEST(ConnectionTap, WhoComesLaterDoesNotHearOfBefore) {
  ConnectionTap tap;
  tap.SetWatched(true);
  tap.Offer(Event(1));
  tap.SetWatched(false);
  EXPECT_TRUE(tap.Take().events.empty());
}

}  // namespace
}  // namespace lanyard
