#include "proxy/connection/crowd.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(Crowd, TheOldestOfWhoeverHasMostGoes) {
  std::vector<int> things(6);
  Crowd<int> crowd;
  EXPECT_EQ(crowd.OldestOfMost(), nullptr);
  EXPECT_EQ(crowd.most(), 0u);
  crowd.Enter(&things[0], "few");
  for (size_t i = 1; i < things.size(); ++i) crowd.Enter(&things[i], "many");
  EXPECT_EQ(crowd.size(), 6u);
  EXPECT_EQ(crowd.most(), 5u);
  EXPECT_EQ(crowd.CountOf("few"), 1u);
  EXPECT_EQ(crowd.CountOf("nobody"), 0u);
  for (size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(crowd.OldestOfMost(), &things[i]);
    EXPECT_TRUE(crowd.Leave(crowd.OldestOfMost()));
  }
  EXPECT_EQ(crowd.OldestOfMost(), &things[0]) << "both have one, and it is the older";
  EXPECT_TRUE(crowd.Leave(&things[0]));
  EXPECT_TRUE(crowd.Leave(&things[5]));
  EXPECT_FALSE(crowd.Leave(&things[5]));
  EXPECT_EQ(crowd.OldestOfMost(), nullptr);
}

TEST(Crowd, WhatEntersAgainIsTheYoungestAndItsNewOwners) {
  std::vector<int> things(3);
  Crowd<int> crowd;
  for (int& thing : things) crowd.Enter(&thing, "one");
  crowd.Enter(&things[0], "one");
  EXPECT_EQ(crowd.size(), 3u);
  EXPECT_EQ(crowd.OldestOfMost(), &things[1]);
  crowd.Enter(&things[1], "other");
  EXPECT_EQ(crowd.CountOf("one"), 2u);
  EXPECT_EQ(crowd.OldestOfMost(), &things[2]);
  EXPECT_TRUE(crowd.contains(&things[1]));
}

TEST(Crowd, KnowsWhoHasMostAfterAnyComingAndGoing) {
  std::vector<int> things(40);
  std::map<int, std::string> owner_of;  // by index
  Crowd<int> crowd;
  uint64_t state = 1;
  for (int step = 0; step < 5000; ++step) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const int index = static_cast<int>((state >> 33) % things.size());
    if ((state >> 60) % 2 == 0) {
      const std::string owner = std::to_string((state >> 50) % 5);
      crowd.Enter(&things[static_cast<size_t>(index)], owner);
      owner_of[index] = owner;
    } else {
      EXPECT_EQ(crowd.Leave(&things[static_cast<size_t>(index)]), owner_of.erase(index) == 1);
    }
    std::map<std::string, size_t> counts;
    size_t most = 0;
    for (const auto& [thing, owner] : owner_of) most = std::max(most, ++counts[owner]);
    ASSERT_EQ(crowd.size(), owner_of.size());
    ASSERT_EQ(crowd.most(), most);
    if (most == 0) continue;
    const int oldest = static_cast<int>(crowd.OldestOfMost() - things.data());
    ASSERT_EQ(counts[owner_of[oldest]], most) << step;
  }
}

}  // namespace
}  // namespace lanyard
