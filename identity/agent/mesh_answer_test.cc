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

TEST(MeshAnswerTest, OfSeveralIdsTheOneThatIsShownCountsAlone) {
  const NodeMesh mesh{.version = 1, .rules = {Rules("a", "/ns/*", "[a]"), Rules("b", "/db", "[b]")}, .bans = "[bans]"};
  const std::vector<SpiffeId> ids = {Id("/ns/web"), Id("/db"), Id("/other")};
  const MeshAnswer db = MeshAnswerFor(mesh, ids, Id("/db"));
  EXPECT_EQ(db.rules, "[b]");
  EXPECT_EQ(db.spiffe_id, Id("/db"));
  EXPECT_EQ(db.spiffe_ids, ids);
  EXPECT_EQ(db.bans, "[bans]");
  EXPECT_FALSE(MeshAnswerFor(mesh, ids, Id("/other")).has_rules);
  EXPECT_EQ(MeshAnswerFor(mesh, ids).rules, "[a]") << "the default";
  EXPECT_EQ(MeshAnswerFor(mesh, ids).spiffe_id, Id("/ns/web"));
  // Nobody gets rules by saying whose he would like.
  EXPECT_EQ(MeshAnswerFor(mesh, ids, Id("/ns/bank")).spiffe_id, Id("/ns/web"));
  EXPECT_EQ(MeshAnswerFor(mesh, {Id("/other")}, Id("/db")).rules, "");
  EXPECT_FALSE(MeshAnswerFor(mesh, {}, Id("/db")).spiffe_id.has_value());
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
  EXPECT_EQ(now.spiffe_id, last.spiffe_id);
  EXPECT_TRUE(now.has_rules);
  EXPECT_EQ(now.rules, "[a]");
  EXPECT_EQ(now.bans, "[more]");
}

}  // namespace
}  // namespace lanyard
