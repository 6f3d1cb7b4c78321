// The contract of AuthorityClient, over every implementation of it: the fake in memory, and gRPC
// against the fake on the wire; and what only the wire can do to it.
#include "identity/agent/authority_client.h"

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "api/lanyard/authority/authority.grpc.pb.h"
#include "absl/synchronization/notification.h"
#include "identity/agent/fake_authority.h"
#include "identity/agent/fake_authority_service.h"
#include "identity/agent/node_mesh_proto.h"
#include "identity/base/clock.h"
#include "identity/spiffe/csr.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);

WorkloadEntry Entry(const std::string& id, const std::string& path) {
  return {.id = id, .spiffe_id = *SpiffeId::Parse("spiffe://example.org" + path), .selectors = {"unix:uid:1000"},
          .x509_svid_ttl_seconds = 60, .dns_names = {"web.example.org"}, .hint = "web"};
}

struct Subject {
  FakeAuthority authority{SystemClock()};
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<AuthorityClient> client;
  ~Subject() {
    authority.SetAway(true);
    client.reset();
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now());
  }
};

const SpiffeId& Node() {
  static const SpiffeId node = *SpiffeId::Parse("spiffe://example.org/lanyard/agent/n1");
  return node;
}

std::unique_ptr<Subject> InMemory() {
  auto subject = std::make_unique<Subject>();
  subject->client = NewFakeAuthorityClient(subject->authority, Node());
  return subject;
}

std::unique_ptr<Subject> OnTheWire() {
  auto subject = std::make_unique<Subject>();
  subject->service = NewFakeAuthorityService(subject->authority, [](const grpc::ServerContextBase&) { return Node(); });
  grpc::ServerBuilder builder;
  builder.RegisterService(subject->service.get());
  subject->server = builder.BuildAndStart();
  subject->client =
      NewAuthorityClient(subject->server->InProcessChannel({}), nullptr, subject->authority.trust_domain());
  return subject;
}

std::string CsrFor(const PrivateKey& key) { return *Csr::Create(key); }

class AuthorityClientContract : public testing::TestWithParam<std::unique_ptr<Subject> (*)()> {
 protected:
  void SetUp() override { subject_ = GetParam()(); }
  FakeAuthority& authority() { return subject_->authority; }
  AuthorityClient& client() { return *subject_->client; }
  std::unique_ptr<Subject> subject_;
  const PrivateKey key_ = *PrivateKey::Generate(KeyType::kEcP256);
};

TEST_P(AuthorityClientContract, AttestsOnceAToken) {
  authority().AddToken("n1");
  const auto grant = client().Attest("n1", CsrFor(key_), kTimeout);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->chain.front().public_key_der(), key_.public_key_der());
  EXPECT_TRUE(VerifySvid(grant->chain, grant->bundles, SystemClock().Now()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(client().Attest("n1", CsrFor(key_), kTimeout).status()));
}

TEST_P(AuthorityClientContract, RenewsTheNode) {
  const auto grant = client().RenewNode(CsrFor(key_), kTimeout);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(*LeafSpiffeId(grant->chain.front()), Node());
  authority().SetBanned(true);
  EXPECT_TRUE(absl::IsPermissionDenied(client().RenewNode(CsrFor(key_), kTimeout).status()));
}

TEST_P(AuthorityClientContract, SignsEachRequestByItself) {
  authority().SetEntries({Entry("e1", "/web"), Entry("e2", "/db")});
  const auto results =
      client().SignX509Svids({{"e2", CsrFor(key_)}, {"unknown", CsrFor(key_)}, {"e1", CsrFor(key_)}}, kTimeout);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 3u);
  EXPECT_EQ(LeafSpiffeId((*results)[0]->front())->path(), "/db");
  EXPECT_TRUE(absl::IsNotFound((*results)[1].status()));
  EXPECT_EQ(LeafSpiffeId((*results)[2]->front())->path(), "/web");
}

TEST_P(AuthorityClientContract, WatchesAtOnceAndAtEveryChangeUntilCancelled) {
  authority().SetEntries({Entry("e1", "/web")});
  std::vector<NodeState> seen;
  const absl::Status ended = client().WatchNode([&](NodeState state) {
    seen.push_back(std::move(state));
    if (seen.size() == 1) authority().SetEntries({Entry("e1", "/web"), Entry("e2", "/db")});
    if (seen.size() == 2) client().Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].entries, std::vector<WorkloadEntry>{Entry("e1", "/web")});
  EXPECT_EQ(seen[1].entries.size(), 2u);
  EXPECT_EQ(seen[1].bundles, authority().bundles());
  EXPECT_LT(seen[0].revision, seen[1].revision);
}

NodeMesh SomeMesh() {
  lanyard::mesh::v1::View policy, routes, bans;
  policy.mutable_inbound()->add_rules()->set_name("p/callers");
  policy.mutable_inbound()->mutable_rules(0)->add_peers("spiffe://example.org/shop");
  routes.add_routes()->set_name("r/db");
  routes.mutable_routes(0)->add_ports(5432);
  bans.add_bans()->set_serial("0a0b");
  const std::vector<PeerPattern> workloads = {*PeerPattern::Parse("spiffe://example.org/*")};
  return {.version = 5,
          .rules = {{"p", workloads, policy.SerializeAsString()}, {"r", workloads, routes.SerializeAsString()}},
          .bans = bans.SerializeAsString(),
          .ban_set = ReadBans(bans.SerializeAsString())};
}

TEST_P(AuthorityClientContract, WatchesWhatTheMeshKnows) {
  std::vector<NodeState> seen;
  const absl::Status ended = client().WatchNode([&](NodeState state) {
    seen.push_back(std::move(state));
    if (seen.size() == 1) authority().SetMesh(SomeMesh());
    if (seen.size() == 2) client().Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
  ASSERT_EQ(seen.size(), 2u);
  ASSERT_NE(seen[0].mesh, nullptr);
  EXPECT_EQ(*seen[0].mesh, NodeMesh());
  ASSERT_NE(seen[1].mesh, nullptr);
  EXPECT_EQ(*seen[1].mesh, SomeMesh());
}

TEST_P(AuthorityClientContract, ReportsProxies) {
  lanyard::mesh::v1::ProxyStatus one, other;
  one.set_serial("01");
  other.set_view_version(7);
  ASSERT_TRUE(client().ReportProxies({one.SerializeAsString(), other.SerializeAsString()}, kTimeout).ok());
  EXPECT_EQ(authority().reported(), (std::vector<std::string>{one.SerializeAsString(), other.SerializeAsString()}));
  ASSERT_TRUE(client().ReportProxies({}, kTimeout).ok());
  EXPECT_TRUE(authority().reported().empty());
  authority().SetAway(true);
  EXPECT_TRUE(absl::IsUnavailable(client().ReportProxies({}, kTimeout)));
}

TEST_P(AuthorityClientContract, ReportsWhatProxiesObserved) {
  lanyard::authority::v1::ReportObservedRequest::OfProxy one, other;
  one.set_proxy(1);
  one.mutable_observed()->add_calls()->set_local_id("spiffe://example.org/web");
  other.set_proxy(2);
  ASSERT_TRUE(client().ReportObserved({one.SerializeAsString(), other.SerializeAsString()}, kTimeout).ok());
  EXPECT_EQ(authority().observed(), (std::vector<std::string>{one.SerializeAsString(), other.SerializeAsString()}));
  authority().SetAway(true);
  EXPECT_TRUE(absl::IsUnavailable(client().ReportObserved({}, kTimeout)));
}

TEST_P(AuthorityClientContract, SaysWhenTheAuthorityIsAway) {
  authority().SetAway(true);
  EXPECT_TRUE(absl::IsUnavailable(client().RenewNode(CsrFor(key_), kTimeout).status()));
  EXPECT_TRUE(absl::IsUnavailable(client().SignX509Svids({{"e1", CsrFor(key_)}}, kTimeout).status()));
  EXPECT_TRUE(absl::IsUnavailable(client().WatchNode([](NodeState) {})));
}

TEST_P(AuthorityClientContract, AfterCancelEveryCallFails) {
  client().Cancel();
  EXPECT_TRUE(absl::IsCancelled(client().RenewNode(CsrFor(key_), kTimeout).status()));
  EXPECT_TRUE(absl::IsCancelled(client().SignX509Svids({{"e1", CsrFor(key_)}}, kTimeout).status()));
  EXPECT_TRUE(absl::IsCancelled(client().WatchNode([](NodeState) {})));
}

TEST_P(AuthorityClientContract, CancelEndsARunningWatch) {
  absl::Notification started;
  absl::Status ended;
  std::thread watcher([&] {
    ended = client().WatchNode([&](NodeState) {
      if (!started.HasBeenNotified()) started.Notify();
    });
  });
  started.WaitForNotification();
  client().Cancel();
  watcher.join();
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
}

INSTANTIATE_TEST_SUITE_P(Fake, AuthorityClientContract, testing::Values(&InMemory));
INSTANTIATE_TEST_SUITE_P(Grpc, AuthorityClientContract, testing::Values(&OnTheWire));

// An authority that answers what no sound one would.
class HostileAuthority : public authority::v1::Authority::Service {
 public:
  grpc::Status WatchNode(grpc::ServerContext*, const authority::v1::WatchNodeRequest*,
                         grpc::ServerWriter<authority::v1::NodeState>* writer) override {
    writer->Write(state);
    return grpc::Status::OK;
  }
  grpc::Status SignX509Svids(grpc::ServerContext*, const authority::v1::SignX509SvidsRequest*,
                             authority::v1::SignX509SvidsResponse* response) override {
    *response = signed_svids;
    return grpc::Status::OK;
  }
  authority::v1::NodeState state;
  authority::v1::SignX509SvidsResponse signed_svids;
};

class HostileAuthorityTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.RegisterService(&hostile_);
    server_ = builder.BuildAndStart();
    client_ = NewAuthorityClient(server_->InProcessChannel({}), nullptr, *TrustDomain::Parse("example.org"));
  }
  void AddBundle(const FakeAuthority& of, const std::string& trust_domain) {
    authority::v1::Bundle* const bundle = hostile_.state.add_bundles();
    bundle->set_trust_domain(trust_domain);
    bundle->add_authorities(of.bundles().bundles().begin()->second.authorities().front().der());
  }
  HostileAuthority hostile_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AuthorityClient> client_;
};

TEST_F(HostileAuthorityTest, AStateWithoutTheOwnBundleIsRefused) {
  int states = 0;
  EXPECT_TRUE(absl::IsInternal(client_->WatchNode([&](NodeState) { ++states; })));
  EXPECT_EQ(states, 0);
}

TEST_F(HostileAuthorityTest, UnusableEntriesAndForeignBundlesAreLeftOut) {
  const FakeAuthority sound(SystemClock());
  AddBundle(sound, "example.org");
  authority::v1::Bundle* const broken = hostile_.state.add_bundles();
  broken->set_trust_domain("other.org");
  broken->add_authorities("not a certificate");
  for (const char* id : {"not an ID", "spiffe://example.org", "spiffe://example.org/a", "spiffe://example.org/b"}) {
    authority::v1::Entry* const entry = hostile_.state.add_entries();
    entry->set_id("same");
    entry->set_spiffe_id(id);
  }
  std::vector<NodeState> states;
  client_->WatchNode([&](NodeState state) { states.push_back(std::move(state)); }).IgnoreError();
  ASSERT_EQ(states.size(), 1u);
  ASSERT_EQ(states[0].entries.size(), 1u);
  EXPECT_EQ(states[0].entries[0].spiffe_id.path(), "/a");
  EXPECT_FALSE(states[0].whole);
  EXPECT_EQ(states[0].bundles.bundles().size(), 1u);
}

TEST_F(HostileAuthorityTest, RulesThatCannotBeReadAreLeftOutWhole) {
  const FakeAuthority sound(SystemClock());
  AddBundle(sound, "example.org");
  hostile_.state.set_mesh_version(1);
  hostile_.state.add_policies()->add_workloads("spiffe://example.org/web");
  hostile_.state.add_routes()->add_workloads("not an ID");
  std::vector<NodeState> states;
  client_->WatchNode([&](NodeState state) { states.push_back(std::move(state)); }).IgnoreError();
  ASSERT_EQ(states.size(), 1u);
  EXPECT_EQ(states[0].mesh, nullptr);
}

TEST_F(HostileAuthorityTest, ResultsMustMatchTheRequests) {
  EXPECT_TRUE(absl::IsInternal(client_->SignX509Svids({{"e1", "csr"}}, kTimeout).status()));
  hostile_.signed_svids.add_results()->set_entry_id("another");
  const auto swapped = client_->SignX509Svids({{"e1", "csr"}}, kTimeout);
  ASSERT_TRUE(swapped.ok());
  EXPECT_TRUE(absl::IsInternal((*swapped)[0].status()));
  hostile_.signed_svids.mutable_results(0)->set_entry_id("e1");
  const auto empty = client_->SignX509Svids({{"e1", "csr"}}, kTimeout);
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(absl::IsInternal((*empty)[0].status()));
}

}  // namespace
}  // namespace lanyard
