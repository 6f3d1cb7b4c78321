#include "identity/agent/mesh_answer.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

SpiffeId Id(const std::string& path) { return *SpiffeId::Parse("spiffe://example.org" + path); }

WorkloadRules Rules(const std::string& name, const std::string& workload, const std::string& view) {
  return {name, {*PeerPattern::Parse("spiffe://example.org" + workload)}, view};
}

TEST(MeshAnswerTest, HoldsWhatNamesTheWorkloadInOrderAndEveryBan) {
  const NodeMesh mesh{.version = 7,
                      .rules = {Rules("a", "/web", "[a]"), Rules("b", "/db", "[b]"), Rules("c", "/*", "[c]")},
                      .bans = "[bans]"};
  const MeshAnswer web = MeshAnswerFor(mesh, {Id("/web")});
  EXPECT_EQ(web.version, 7u);
  EXPECT_EQ(web.spiffe_ids, std::vector<SpiffeId>{Id("/web")});
  EXPECT_TRUE(web.has_rules);
  EXPECT_EQ(web.rules, "[a][c]");
  EXPECT_EQ(web.bans, "[bans]");
  EXPECT_EQ(MeshAnswerFor(mesh, {Id("/other")}).rules, "[c]");
}

TEST(MeshAnswerTest, ASetThatNamesTwoIdsOfOneWorkloadCountsOnce) {
  const NodeMesh mesh{.version = 1, .rules = {Rules("a", "/ns/*", "[a]"), Rules("b", "/db", "[b]")}, .bans = ""};
  EXPECT_EQ(MeshAnswerFor(mesh, {Id("/ns/web"), Id("/ns/admin"), Id("/db")}).rules, "[a][b]");
}

TEST(MeshAnswerTest, AWorkloadThatNothingNamesHasNoRulesAndStillTheBans) {
  const NodeMesh mesh{.version = 1, .rules = {Rules("a", "/web", "[a]")}, .bans = "[bans]"};
  const MeshAnswer answer = MeshAnswerFor(mesh, {Id("/webs")});
  EXPECT_FALSE(answer.has_rules);
  EXPECT_EQ(answer.rules, "");
  EXPECT_EQ(answer.bans, "[bans]");
}

TEST(MeshAnswerTest, AWorkloadThatIsGoneKeepsItsRulesAndHearsOfBans) {
  const NodeMesh before{.version = 7, .rules = {Rules("a", "/web", "[a]")}, .bans = "[bans]"};
  const MeshAnswer last = MeshAnswerFor(before, {Id("/web")});
  const MeshAnswer now = MeshAnswerAfter({.version = 8, .rules = {}, .bans = "[more]"}, last);
  EXPECT_EQ(now.version, 8u);
  EXPECT_EQ(now.spiffe_ids, last.spiffe_ids);
  EXPECT_TRUE(now.has_rules);
  EXPECT_EQ(now.rules, "[a]");
  EXPECT_EQ(now.bans, "[more]");
}

}  // namespace
}  // namespace lanyard
