#include "identity/registry/registry_service.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "api/lanyard/registry/registry.grpc.pb.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"
#include "identity/registry/fake_store.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

namespace v1 = registry::v1;

struct FakeFacts : AuthorityFacts {
  std::string agents_address() const override { return "192.0.2.1:7443"; }
  bool IsConnected(const SpiffeId& agent) const override { return agent.path() == "/lanyard/agent/here"; }
  absl::StatusOr<std::vector<SpiffeId>> Agents() const override { return std::vector<SpiffeId>(); }
  void Disconnect(const SpiffeId& agent) override { disconnected = agent.ToString(); }
  std::string OperatorOf(const grpc::ServerContextBase&) const override { return "uid 0"; }
  std::string disconnected;
};

class RegistryServiceTest : public testing::Test {
 protected:
  RegistryServiceTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::Registry::NewStub(server_->InProcessChannel({}));
  }
  ~RegistryServiceTest() override { server_->Shutdown(); }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::Registry::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext call;
    return (stub_.get()->*method)(&call, request, response);
  }
  static v1::CreateEntryRequest Web() {
    v1::CreateEntryRequest request;
    request.mutable_entry()->set_spiffe_id("spiffe://example.org/web");
    request.mutable_entry()->add_selectors("unix:uid:33");
    return request;
  }
  void Attest(const std::string& name) {
    const auto token = registry_->CreateJoinToken(name, absl::ZeroDuration());
    const FakeLeaf svid = FakeCa::Root("example.org").Leaf(token->agent_id.ToString());
    ASSERT_TRUE(registry_->AttestNode(token->text, token->agent_id, svid.chain.front()).ok());
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeStore store_;
  FakeFacts facts_;
  std::unique_ptr<Registry> registry_ =
      *Registry::Open(*TrustDomain::Parse("example.org"), {}, store_, clock_, random_);
  std::unique_ptr<grpc::Service> service_ = NewRegistryService(*registry_, facts_, clock_, "1.2.3");
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Registry::Stub> stub_;
};

TEST_F(RegistryServiceTest, CreatesListsAndDeletesEntries) {
  v1::CreateEntryRequest request = Web();
  request.mutable_entry()->set_parent_id("spiffe://example.org/lanyard/agent/n1");
  request.mutable_entry()->set_x509_svid_ttl_seconds(60);
  request.mutable_entry()->add_dns_names("web.example.org");
  request.mutable_entry()->set_hint("front");
  v1::CreateEntryResponse created;
  ASSERT_TRUE(Call(&v1::Registry::Stub::CreateEntry, request, &created).ok());
  EXPECT_FALSE(created.entry().id().empty());
  EXPECT_EQ(created.entry().created_at().seconds(), absl::ToUnixSeconds(clock_.Now()));
  ASSERT_TRUE(Call(&v1::Registry::Stub::CreateEntry, Web(), &created).ok());

  v1::ListEntriesResponse listed;
  ASSERT_TRUE(Call(&v1::Registry::Stub::ListEntries, {}, &listed).ok());
  EXPECT_EQ(listed.entries_size(), 2);
  v1::ListEntriesRequest filter;
  filter.set_parent_id("spiffe://example.org/lanyard/agent/n1");
  ASSERT_TRUE(Call(&v1::Registry::Stub::ListEntries, filter, &listed).ok());
  ASSERT_EQ(listed.entries_size(), 1);
  const v1::Entry& entry = listed.entries(0);
  EXPECT_EQ(entry.spiffe_id(), "spiffe://example.org/web");
  EXPECT_EQ(entry.selectors(0), "unix:uid:33");
  EXPECT_EQ(entry.x509_svid_ttl_seconds(), 60);
  EXPECT_EQ(entry.dns_names(0), "web.example.org");
  EXPECT_EQ(entry.hint(), "front");

  v1::DeleteEntryRequest remove;
  remove.set_id(entry.id());
  v1::DeleteEntryResponse removed;
  ASSERT_TRUE(Call(&v1::Registry::Stub::DeleteEntry, remove, &removed).ok());
  EXPECT_EQ(removed.entry().hint(), "front");
  EXPECT_EQ(Call(&v1::Registry::Stub::DeleteEntry, remove, &removed).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RegistryServiceTest, ErrorsKeepTheirCodeAndSentence) {
  v1::CreateEntryResponse created;
  ASSERT_TRUE(Call(&v1::Registry::Stub::CreateEntry, Web(), &created).ok());
  const std::string id = created.entry().id();
  const grpc::Status same = Call(&v1::Registry::Stub::CreateEntry, Web(), &created);
  EXPECT_EQ(same.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_NE(same.error_message().find(id), std::string::npos) << same.error_message();
  v1::CreateEntryRequest reserved = Web();
  reserved.mutable_entry()->set_spiffe_id("spiffe://example.org/lanyard/agent/n1");
  EXPECT_EQ(Call(&v1::Registry::Stub::CreateEntry, reserved, &created).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  store_.FailWith(absl::ResourceExhaustedError("the disk is full"));
  v1::CreateEntryRequest other = Web();
  other.mutable_entry()->set_spiffe_id("spiffe://example.org/other");
  EXPECT_EQ(Call(&v1::Registry::Stub::CreateEntry, other, &created).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(RegistryServiceTest, CreatesTokens) {
  v1::CreateJoinTokenRequest request;
  request.set_node_name("n1");
  request.set_ttl_seconds(30);
  v1::CreateJoinTokenResponse response;
  ASSERT_TRUE(Call(&v1::Registry::Stub::CreateJoinToken, request, &response).ok());
  EXPECT_EQ(response.agent_id(), "spiffe://example.org/lanyard/agent/n1");
  EXPECT_EQ(response.expires_at().seconds(), absl::ToUnixSeconds(clock_.Now()) + 30);
  EXPECT_EQ(registry_->AgentOfToken(response.token())->ToString(), response.agent_id());
  request.set_ttl_seconds(-1);
  EXPECT_EQ(Call(&v1::Registry::Stub::CreateJoinToken, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RegistryServiceTest, ListsAndDeletesAgents) {
  Attest("here");
  Attest("there");
  v1::ListAgentsResponse listed;
  ASSERT_TRUE(Call(&v1::Registry::Stub::ListAgents, {}, &listed).ok());
  ASSERT_EQ(listed.agents_size(), 2);
  EXPECT_EQ(listed.agents(0).spiffe_id(), "spiffe://example.org/lanyard/agent/here");
  EXPECT_EQ(listed.agents(0).attestation(), "join_token");
  EXPECT_TRUE(listed.agents(0).connected());
  EXPECT_FALSE(listed.agents(1).connected());
  EXPECT_FALSE(listed.agents(1).svid_serial().empty());
  v1::DeleteAgentRequest remove;
  remove.set_spiffe_id(listed.agents(0).spiffe_id());
  v1::DeleteAgentResponse removed;
  ASSERT_TRUE(Call(&v1::Registry::Stub::DeleteAgent, remove, &removed).ok());
  EXPECT_EQ(facts_.disconnected, remove.spiffe_id());
  EXPECT_EQ(Call(&v1::Registry::Stub::DeleteAgent, remove, &removed).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RegistryServiceTest, ReportsBundleAndStatus) {
  const FakeCa root = FakeCa::Root("example.org");
  ASSERT_TRUE(
      registry_->PublishAuthorities({{AuthorityKind::kRoot, AuthorityState::kActive, root.certificate()}}).ok());
  v1::GetBundleResponse bundle;
  ASSERT_TRUE(Call(&v1::Registry::Stub::GetBundle, {}, &bundle).ok());
  EXPECT_EQ(bundle.trust_domain(), "example.org");
  ASSERT_EQ(bundle.authorities_size(), 1);
  EXPECT_EQ(bundle.authorities(0), root.certificate().der());
  v1::GetStatusResponse status;
  ASSERT_TRUE(Call(&v1::Registry::Stub::GetStatus, {}, &status).ok());
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.grpc_address(), "192.0.2.1:7443");
  EXPECT_EQ(status.now().seconds(), absl::ToUnixSeconds(clock_.Now()));
  ASSERT_EQ(status.authorities_size(), 1);
  EXPECT_EQ(status.authorities(0).serial(), root.certificate().serial());
  EXPECT_EQ(status.authorities(0).state(), "active");
}

}  // namespace
}  // namespace lanyard
