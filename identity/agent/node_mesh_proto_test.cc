#include "identity/agent/node_mesh_proto.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

namespace pb = ::lanyard::authority::v1;

pb::NodeState State() {
  pb::NodeState state;
  state.set_mesh_version(9);
  for (const char* name : {"shop", "staff"}) {
    pb::WorkloadPolicy* policy = state.add_policies();
    policy->set_name(name);
    policy->add_workloads("spiffe://example.org/web");
    mesh::v1::InboundRule* rule = policy->add_rules();
    rule->set_name("callers");
    rule->add_peers("spiffe://example.org/" + std::string(name));
  }
  pb::WorkloadRoutes* routes = state.add_routes();
  routes->set_name("out");
  routes->add_workloads("spiffe://example.org/*");
  mesh::v1::Route* route = routes->add_routes();
  route->set_name("db");
  route->set_action(mesh::v1::MUTUAL_TLS);
  route->add_peers("spiffe://example.org/db");
  state.add_bans()->set_spiffe_id("spiffe://example.org/mallory");
  state.add_bans()->set_agent("spiffe://example.org/lanyard/agent/n1");
  state.add_bans()->set_serial("0a0b");
  return state;
}

TEST(NodeMeshProtoTest, RulesOfSeveralPoliciesAreOneViewEachNamedAfterItsPolicy) {
  const auto mesh = ReadNodeMesh(State());
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  const auto view = ViewOf(MeshAnswerFor(**mesh, {*SpiffeId::Parse("spiffe://example.org/web")}));
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->version(), 9u);
  EXPECT_TRUE(view->has_rules());
  ASSERT_EQ(view->spiffe_ids_size(), 1);
  EXPECT_EQ(view->spiffe_ids(0), "spiffe://example.org/web");
  ASSERT_EQ(view->inbound().rules_size(), 2);
  EXPECT_EQ(view->inbound().rules(0).name(), "shop/callers");
  EXPECT_EQ(view->inbound().rules(0).peers(0), "spiffe://example.org/shop");
  EXPECT_EQ(view->inbound().rules(1).name(), "staff/callers");
  ASSERT_EQ(view->routes_size(), 1);
  EXPECT_EQ(view->routes(0).name(), "out/db");
  EXPECT_EQ(view->routes(0).action(), mesh::v1::MUTUAL_TLS);
}

TEST(NodeMeshProtoTest, BansReachEveryWorkloadButThoseOfAgents) {
  const auto mesh = ReadNodeMesh(State());
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  const auto view = ViewOf(MeshAnswerFor(**mesh, {*SpiffeId::Parse("spiffe://other.org/x")}));
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->spiffe_id(), "spiffe://other.org/x");
  EXPECT_FALSE(view->has_rules());
  EXPECT_EQ(view->inbound().rules_size(), 0);
  ASSERT_EQ(view->bans_size(), 2);
  EXPECT_EQ(view->bans(0).spiffe_id(), "spiffe://example.org/mallory");
  EXPECT_EQ(view->bans(1).serial(), "0a0b");
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_NE((*mesh)->ban_set.FindId(*SpiffeId::Parse("spiffe://example.org/mallory"), now), nullptr);
  EXPECT_NE((*mesh)->ban_set.FindSerial("0a0b", now), nullptr);
  EXPECT_EQ((*mesh)->ban_set.all().size(), 2u);
  EXPECT_EQ(ReadBans((*mesh)->bans), (*mesh)->ban_set);
}

TEST(NodeMeshProtoTest, ABanThatCannotBeReadLeavesTheOthers) {
  pb::NodeState state = State();
  state.add_bans()->set_serial("no serial");
  const auto mesh = ReadNodeMesh(state);
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  EXPECT_EQ((*mesh)->ban_set.all().size(), 2u);
  EXPECT_EQ(ViewOf(MeshAnswerFor(**mesh, {}))->bans_size(), 3);
  EXPECT_TRUE(ReadBans("no view").all().empty());
}

TEST(NodeMeshProtoTest, APolicyWithoutRulesIsARule) {
  pb::NodeState state;
  state.set_mesh_version(1);
  state.add_policies()->add_workloads("spiffe://example.org/web");
  const auto mesh = ReadNodeMesh(state);
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  EXPECT_TRUE(MeshAnswerFor(**mesh, {*SpiffeId::Parse("spiffe://example.org/web")}).has_rules);
}

TEST(NodeMeshProtoTest, ARegistryThatHoldsNothingIsAViewOfNothing) {
  const auto mesh = ReadNodeMesh(pb::NodeState());
  ASSERT_TRUE(mesh.ok());
  const auto view = ViewOf(MeshAnswerFor(**mesh, {*SpiffeId::Parse("spiffe://example.org/web")}));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->version(), 0u);
  EXPECT_FALSE(view->has_rules());
  EXPECT_TRUE(view->bans().empty());
}

TEST(NodeMeshProtoTest, AWorkloadThatCannotBeReadRefusesAllOfIt) {
  for (const bool of_policy : {true, false}) {
    pb::NodeState state = State();
    if (of_policy) {
      state.mutable_policies(1)->set_workloads(0, "spiffe://example.org");
    } else {
      state.mutable_routes(0)->set_workloads(0, "web");
    }
    const auto mesh = ReadNodeMesh(state);
    EXPECT_TRUE(absl::IsInvalidArgument(mesh.status())) << mesh.status();
    EXPECT_NE(mesh.status().message().find(of_policy ? "policy staff" : "route set out"), std::string::npos);
  }
}

TEST(NodeMeshProtoTest, PiecesThatAreNoViewAreNotSent) {
  EXPECT_TRUE(absl::IsDataLoss(
      ViewOf({.version = 1, .spiffe_ids = {}, .has_rules = false, .rules = "\xff\xff", .bans = {}}).status()));
}

TEST(NodeMeshProtoTest, AStatusIsShortPlainText) {
  mesh::v1::ProxyStatus status;
  status.set_version("1.0");
  status.set_spiffe_id("spiffe://example.org/web");
  EXPECT_TRUE(CheckProxyStatus(status).ok());
  status.set_refused_view_error(std::string(kMaxProxyStatusTextBytes + 1, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckProxyStatus(status)));
  status.set_refused_view_error("");
  status.set_serial("\x1b[2J");
  EXPECT_TRUE(absl::IsInvalidArgument(CheckProxyStatus(status)));
}

}  // namespace
}  // namespace lanyard
