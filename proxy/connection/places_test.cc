#include "proxy/connection/places.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(Places, EachKeyHasSoManyAndNoMore) {
  Places places(2);
  Place one, two, three, other;
  EXPECT_TRUE(places.Take("web", &one));
  EXPECT_TRUE(places.Take("web", &two));
  EXPECT_FALSE(places.Take("web", &three));
  EXPECT_FALSE(three.held());
  EXPECT_TRUE(places.Take("api", &other)) << "another's are its own";
  one.GiveBack();
  EXPECT_TRUE(places.Take("web", &three));
}

TEST(Places, OnlyWhoHoldsAPlaceIsInTheTable) {
  Places places(1);
  {
    Place held, refused;
    ASSERT_TRUE(places.Take("web", &held));
    EXPECT_FALSE(places.Take("web", &refused));
    Place moved = std::move(held);
    EXPECT_TRUE(moved.held());
    EXPECT_FALSE(held.held());  // NOLINT: what a move leaves is promised
    EXPECT_EQ(places.keys(), 1u);
    Place assigned;
    ASSERT_TRUE(places.Take("api", &assigned));
    assigned = std::move(moved);
    EXPECT_EQ(places.keys(), 1u) << "what it held before is given back";
  }
  EXPECT_EQ(places.keys(), 0u);
}

TEST(Places, ZeroIsNoLimit) {
  Places places(0);
  std::vector<Place> held(100);
  for (Place& place : held) EXPECT_TRUE(places.Take("web", &place));
  EXPECT_EQ(places.keys(), 0u);
}

TEST(Places, TheCountIsSharedByThreads) {
  constexpr uint32_t kMost = 100;
  Places places(kMost);
  std::atomic<uint32_t> taken{0};
  std::vector<std::vector<Place>> held(4);
  std::vector<std::thread> threads;
  for (std::vector<Place>& mine : held) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        Place place;
        if (!places.Take("web", &place)) continue;
        ++taken;
        mine.push_back(std::move(place));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kMost);
  held.clear();
  EXPECT_EQ(places.keys(), 0u);
}

std::string KeyOf(const char* address) { return SourceKey(SocketAddress::Parse(address).value()); }

TEST(SourceKey, IsTheHostWhateverItsPortAndItsChoiceOfAddress) {
  EXPECT_EQ(KeyOf("10.0.0.1:1"), KeyOf("10.0.0.1:2"));
  EXPECT_NE(KeyOf("10.0.0.1:1"), KeyOf("10.0.0.2:1"));
  EXPECT_EQ(KeyOf("[2001:db8::1]:1"), KeyOf("[2001:db8::ffff:2]:1"));
  EXPECT_NE(KeyOf("[2001:db8::1]:1"), KeyOf("[2001:db8:0:1::1]:1"));
}

}  // namespace
}  // namespace lanyard
