#include "identity/channel/unidentified_clients.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(UnidentifiedClientsTest, TheOldestGoesFirstWhereAllHaveAsMany) {
  UnidentifiedClients clients;
  EXPECT_TRUE(clients.empty());
  clients.Add(1, "z");
  clients.Add(2, "a");
  clients.Add(3, "m");
  EXPECT_EQ(clients.size(), 3u);
  EXPECT_EQ(clients.FirstToEnd(), 1u);
  clients.Remove(1);
  EXPECT_EQ(clients.FirstToEnd(), 2u);
}

TEST(UnidentifiedClientsTest, WhoHasMostPushesOutHisOwn) {
  UnidentifiedClients clients;
  clients.Add(1, "honest");
  for (uint64_t id = 2; id < 1000; ++id) {
    clients.Add(id, "flood");
    if (id < 4) continue;
    EXPECT_EQ(clients.FirstToEnd(), id - 2);
    clients.Remove(id - 2);
    EXPECT_EQ(clients.size(), 3u);
  }
}

TEST(UnidentifiedClientsTest, WhatIsRemovedCountsNoMore) {
  UnidentifiedClients clients;
  clients.Add(1, "a");
  clients.Add(2, "b");
  clients.Add(3, "b");
  EXPECT_EQ(clients.FirstToEnd(), 2u);
  clients.Remove(3);
  clients.Remove(3);
  clients.Remove(77);
  EXPECT_EQ(clients.FirstToEnd(), 1u);
  clients.Remove(1);
  clients.Remove(2);
  EXPECT_TRUE(clients.empty());
  clients.Add(4, "b");
  EXPECT_EQ(clients.FirstToEnd(), 4u);
}

}  // namespace
}  // namespace lanyard
