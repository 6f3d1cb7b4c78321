#include "identity/agent/fair_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace lanyard {
namespace {

TEST(FairQueueTest, UsersHaveTheirTurnsHoweverMuchOneHas) {
  FairQueue<int> queue(10, 10);
  for (const int job : {1, 2, 3}) ASSERT_TRUE(queue.Add(100, job));
  ASSERT_TRUE(queue.Add(200, 4));
  for (const auto& [uid, job] : {std::pair<uid_t, int>{100, 1}, {200, 4}, {100, 2}, {100, 3}}) {
    const auto taken = queue.Take();
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->first, uid);
    EXPECT_EQ(taken->second, job);
    queue.Done(uid);
  }
}

TEST(FairQueueTest, OneJobOfAUserIsUnderWayAtOnce) {
  FairQueue<int> queue(10, 10);
  ASSERT_TRUE(queue.Add(100, 1));
  ASSERT_TRUE(queue.Add(100, 2));
  ASSERT_EQ(queue.Take()->second, 1);
  ASSERT_TRUE(queue.Add(200, 3));
  EXPECT_EQ(queue.Take()->second, 3);
  queue.Done(100);
  EXPECT_EQ(queue.Take()->second, 2);
}

TEST(FairQueueTest, WhatWaitsIsLimitedInAllAndOfEachUser) {
  FairQueue<int> queue(3, 2);
  ASSERT_TRUE(queue.Add(100, 1));
  ASSERT_TRUE(queue.Add(100, 2));
  EXPECT_FALSE(queue.Add(100, 3));
  ASSERT_TRUE(queue.Add(200, 4));
  EXPECT_FALSE(queue.Add(300, 5));
  queue.Take();  // what is under way does not wait
  EXPECT_TRUE(queue.Add(100, 6));
}

TEST(FairQueueTest, StopEndsTheWait) {
  FairQueue<int> queue(1, 1);
  std::thread waiting([&] { EXPECT_FALSE(queue.Take().has_value()); });
  queue.Stop();
  waiting.join();
}

}  // namespace
}  // namespace lanyard
