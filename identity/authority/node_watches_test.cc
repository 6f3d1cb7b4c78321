#include "identity/authority/node_watches.h"

#include "gtest/gtest.h"
#include "identity/registry/entry.h"

namespace lanyard {
namespace {

SpiffeId Agent(const char* name) { return *AgentId(*TrustDomain::Parse("example.org"), name); }

struct FakeWatch : NodeWatch {
  void Wake() override { ++woken; }
  void End(const absl::Status& why) override { ended = why; }
  int woken = 0;
  absl::Status ended;
};

TEST(NodeWatchesTest, WakesThoseThatAreThere) {
  NodeWatches watches;
  FakeWatch one, two;
  ASSERT_TRUE(watches.Add(Agent("n1"), one).ok());
  ASSERT_TRUE(watches.Add(Agent("n1"), two).ok());
  watches.WakeAll();
  watches.Remove(Agent("n1"), one);
  EXPECT_TRUE(watches.IsConnected(Agent("n1")));
  watches.WakeAll();
  watches.Remove(Agent("n1"), two);
  EXPECT_FALSE(watches.IsConnected(Agent("n1")));
  EXPECT_EQ(one.woken, 1);
  EXPECT_EQ(two.woken, 2);
}

TEST(NodeWatchesTest, EndsOneAgentsStreams) {
  NodeWatches watches;
  FakeWatch one, two;
  ASSERT_TRUE(watches.Add(Agent("n1"), one).ok());
  ASSERT_TRUE(watches.Add(Agent("n2"), two).ok());
  watches.End(Agent("n1"), absl::PermissionDeniedError("deleted"));
  EXPECT_TRUE(absl::IsPermissionDenied(one.ended));
  EXPECT_TRUE(two.ended.ok());
}

TEST(NodeWatchesTest, OfOneAgentsStreamsTheNewestStay) {
  NodeWatches watches;
  FakeWatch own[NodeWatches::kMaxOfAgent + 2], other;
  ASSERT_TRUE(watches.Add(Agent("n2"), other).ok());
  for (FakeWatch& watch : own) ASSERT_TRUE(watches.Add(Agent("n1"), watch).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(own[0].ended));
  EXPECT_TRUE(absl::IsResourceExhausted(own[1].ended));
  EXPECT_TRUE(own[2].ended.ok());
  EXPECT_TRUE(other.ended.ok());
  EXPECT_EQ(watches.limit_reached(), 2u);
  watches.WakeAll();
  EXPECT_EQ(own[1].woken, 0);
  EXPECT_EQ(own[2].woken, 1);
  watches.Remove(Agent("n1"), own[0]);
  for (size_t i = 2; i < std::size(own); ++i) watches.Remove(Agent("n1"), own[i]);
  EXPECT_TRUE(watches.IsConnected(Agent("n1"))) << "one has not come to its end";
  watches.Remove(Agent("n1"), own[1]);
  EXPECT_FALSE(watches.IsConnected(Agent("n1")));
}

TEST(NodeWatchesTest, AnAgentThatLetsNoStreamEndGetsNoNewOne) {
  NodeWatches watches;
  FakeWatch own[NodeWatches::kMaxOfAgentWithEnding], more;
  for (FakeWatch& watch : own) ASSERT_TRUE(watches.Add(Agent("n1"), watch).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(watches.Add(Agent("n1"), more)));
  EXPECT_TRUE(watches.Add(Agent("n2"), more).ok());
  watches.Remove(Agent("n1"), own[0]);
  FakeWatch again;
  EXPECT_TRUE(watches.Add(Agent("n1"), again).ok());
}

TEST(NodeWatchesTest, HasALimitAndAnEnd) {
  NodeWatches watches(1);
  FakeWatch one, two;
  ASSERT_TRUE(watches.Add(Agent("n1"), one).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(watches.Add(Agent("n2"), two)));
  watches.Remove(Agent("n1"), one);
  ASSERT_TRUE(watches.Add(Agent("n2"), two).ok());
  watches.EndAll(absl::UnavailableError("going"));
  EXPECT_TRUE(absl::IsUnavailable(two.ended));
  watches.Remove(Agent("n2"), two);
  EXPECT_TRUE(absl::IsUnavailable(watches.Add(Agent("n1"), one)));
}

}  // namespace
}  // namespace lanyard
