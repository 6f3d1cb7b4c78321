#include "identity/registry/mesh_rules_service.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "api/lanyard/registry/mesh_rules.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/registry/fake_store.h"

namespace lanyard {
namespace {

namespace v1 = registry::v1;
using testing::HasSubstr;

struct FakeFacts : AuthorityFacts {
  std::string agents_address() const override { return ""; }
  bool IsConnected(const SpiffeId& agent) const override { return agent.path() == "/lanyard/agent/here"; }
  absl::StatusOr<std::vector<SpiffeId>> Agents() const override {
    return std::vector{*SpiffeId::Parse("spiffe://example.org/lanyard/agent/away"),
                       *SpiffeId::Parse("spiffe://example.org/lanyard/agent/here")};
  }
  void Disconnect(const SpiffeId&) override {}
  std::string OperatorOf(const grpc::ServerContextBase&) const override { return "uid 0"; }
};

class MeshRulesServiceTest : public testing::Test {
 protected:
  MeshRulesServiceTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::MeshRules::NewStub(server_->InProcessChannel({}));
  }
  ~MeshRulesServiceTest() override { server_->Shutdown(); }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::MeshRules::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext call;
    return (stub_.get()->*method)(&call, request, response);
  }
  static v1::ApplyRequest Web() {
    v1::ApplyRequest request;
    v1::Policy* policy = request.add_policies();
    policy->set_name("web");
    policy->add_workloads("spiffe://example.org/web");
    mesh::v1::InboundRule* rule = policy->add_rules();
    rule->set_name("shop");
    rule->add_peers("spiffe://example.org/shop");
    v1::RouteSet* routes = request.add_routes();
    routes->set_name("out");
    routes->add_workloads("spiffe://example.org/shop");
    routes->set_order(7);
    mesh::v1::Route* route = routes->add_routes();
    route->set_name("nowhere");
    route->set_action(mesh::v1::REFUSE);
    return request;
  }

  FakeClock clock_;
  FakeStore store_;
  FakeFacts facts_;
  MeshReports reports_;
  std::unique_ptr<MeshRegistry> mesh_ = *MeshRegistry::Open(*TrustDomain::Parse("example.org"), store_, clock_);
  std::unique_ptr<grpc::Service> service_ = NewMeshRulesService(*mesh_, reports_, facts_);
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::MeshRules::Stub> stub_;
};

TEST_F(MeshRulesServiceTest, WhatIsAppliedIsListedUntilItIsDeleted) {
  v1::ApplyResponse applied;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::Apply, Web(), &applied).ok());
  ASSERT_EQ(applied.outcomes_size(), 2);
  EXPECT_EQ(applied.outcomes(0).kind(), "policy");
  EXPECT_EQ(applied.outcomes(0).outcome(), "created");
  EXPECT_EQ(applied.outcomes(1).kind(), "route");

  v1::ListResponse listed;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::List, v1::ListRequest(), &listed).ok());
  ASSERT_EQ(listed.policies_size(), 1);
  EXPECT_EQ(listed.policies(0).rules(0).peers(0), "spiffe://example.org/shop");
  EXPECT_EQ(listed.policies(0).version(), applied.outcomes(0).version());
  ASSERT_EQ(listed.routes_size(), 1);
  EXPECT_EQ(listed.routes(0).order(), 7u);

  v1::ListRequest of_web;
  of_web.set_workload("spiffe://example.org/web");
  v1::ListResponse some;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::List, of_web, &some).ok());
  EXPECT_EQ(some.policies_size(), 1);
  EXPECT_EQ(some.routes_size(), 0);

  v1::DeleteRequest remove;
  remove.add_policies("web");
  v1::DeleteResponse removed;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::Delete, remove, &removed).ok());
  EXPECT_EQ(Call(&v1::MeshRules::Stub::Delete, remove, &removed).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(MeshRulesServiceTest, EveryMistakeOfARequestIsReportedAndNothingIsStored) {
  v1::ApplyRequest request = Web();
  request.mutable_policies(0)->mutable_rules(0)->set_peers(0, "shop");
  request.mutable_routes(0)->mutable_routes(0)->add_destinations("10.0.0.1/8");
  request.add_policies()->set_name("web");
  v1::ApplyResponse response;
  const grpc::Status refused = Call(&v1::MeshRules::Stub::Apply, request, &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  for (const char* path : {"4 mistakes", "policies[0].rules[0].peers[0]", "policies[1].name", "policies[1].workloads",
                           "routes[0].routes[0].destinations[0]"}) {
    EXPECT_THAT(refused.error_message(), HasSubstr(path));
  }
  EXPECT_TRUE(mesh_->snapshot()->rules->policies.empty());
  EXPECT_EQ(mesh_->snapshot()->version, 1u);
}

TEST_F(MeshRulesServiceTest, BansAreListedUntilTheyAreTakenBack) {
  v1::BanRequest request;
  request.mutable_ban()->set_spiffe_id("spiffe://example.org/web");
  request.mutable_ban()->set_reason("stolen");
  request.set_for_seconds(60);
  v1::BanResponse banned;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::Ban, request, &banned).ok());
  EXPECT_EQ(banned.view_version(), mesh_->snapshot()->version);
  EXPECT_EQ(banned.ban().expires_at().seconds() - banned.ban().created_at().seconds(), 60);
  EXPECT_FALSE(banned.has_replaced());
  v1::BanResponse again;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::Ban, request, &again).ok());
  EXPECT_EQ(again.replaced().reason(), "stolen");
  EXPECT_EQ(again.replaced().expires_at().seconds(), banned.ban().expires_at().seconds());
  v1::ListBansResponse listed;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::ListBans, v1::ListBansRequest(), &listed).ok());
  ASSERT_EQ(listed.bans_size(), 1);
  EXPECT_EQ(listed.bans(0).reason(), "stolen");
  v1::UnbanRequest unban;
  unban.mutable_ban()->set_spiffe_id("spiffe://example.org/web");
  v1::UnbanResponse unbanned;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::Unban, unban, &unbanned).ok());
  EXPECT_EQ(Call(&v1::MeshRules::Stub::Unban, unban, &unbanned).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(MeshRulesServiceTest, ABanWithoutASubjectIsRefused) {
  v1::BanRequest request;
  request.mutable_ban()->set_reason(std::string(300, 'x'));
  v1::BanResponse response;
  const grpc::Status refused = Call(&v1::MeshRules::Stub::Ban, request, &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("ban.subject"));
  EXPECT_THAT(refused.error_message(), HasSubstr("ban.reason"));
}

TEST_F(MeshRulesServiceTest, ShowsWhatTheProxiesReport) {
  ProxyReport report;
  report.version = "1.2";
  report.view_version = 4;
  report.spiffe_id = "spiffe://example.org/web";
  report.serial = "0a";
  report.not_after = clock_.Now();
  report.open_connections = 9;
  const SpiffeId agent = *SpiffeId::Parse("spiffe://example.org/lanyard/agent/n1");
  ASSERT_TRUE(reports_.Replace(agent, {report}, clock_.Now()).ok());
  v1::GetMeshStatusResponse status;
  ASSERT_TRUE(Call(&v1::MeshRules::Stub::GetMeshStatus, v1::GetMeshStatusRequest(), &status).ok());
  ASSERT_EQ(status.proxies_size(), 1);
  EXPECT_EQ(status.proxies(0).agent(), agent.ToString());
  EXPECT_EQ(status.proxies(0).status().view_version(), 4u);
  EXPECT_EQ(status.proxies(0).status().open_connections(), 9u);
  EXPECT_EQ(status.proxies(0).status().not_after_unix(), absl::ToUnixSeconds(clock_.Now()));
}

TEST_F(MeshRulesServiceTest, WhatWasObservedIsListedByProxyWithThoseOfWhomNothingIsKnown) {
  const SpiffeId here = *SpiffeId::Parse("spiffe://example.org/lanyard/agent/here");
  ProxyReport telling, silent;
  telling.spiffe_id = "spiffe://example.org/web";
  telling.proxy = 1;
  silent.spiffe_id = "spiffe://example.org/shop";
  silent.proxy = 2;
  ASSERT_TRUE(reports_.Replace(here, {telling, silent}, clock_.Now()).ok());
  mesh::v1::Observed observed;
  observed.set_at_unix(99);
  observed.add_calls()->set_port(80);
  // The other's stream is over: nobody knows any more whose calls these were.
  ASSERT_TRUE(reports_.ReplaceObserved(here, {{1, observed.SerializeAsString()}, {7, "gone"}}, clock_.Now()).ok());

  grpc::ClientContext call;
  const auto reader = stub_->ListObserved(&call, v1::ListObservedRequest());
  std::vector<v1::ObservedByProxy> listed;
  for (v1::ObservedByProxy one; reader->Read(&one);) listed.push_back(one);
  ASSERT_TRUE(reader->Finish().ok());
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].agent(), "spiffe://example.org/lanyard/agent/away");
  EXPECT_FALSE(listed[0].agent_connected());
  EXPECT_EQ(listed[1].spiffe_id(), "spiffe://example.org/web");
  EXPECT_TRUE(listed[1].agent_connected());
  EXPECT_EQ(listed[1].observed().at_unix(), 99);
  EXPECT_EQ(listed[1].observed().calls(0).port(), 80u);
  EXPECT_EQ(listed[2].spiffe_id(), "spiffe://example.org/shop");
  EXPECT_FALSE(listed[2].has_observed());
}

}  // namespace
}  // namespace lanyard
