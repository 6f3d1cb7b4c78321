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
