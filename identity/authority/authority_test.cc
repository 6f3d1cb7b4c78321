// The whole authority over real sockets on loopback: what an agent and an operator see of it.
#include "identity/authority/authority.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "api/lanyard/authority/authority.grpc.pb.h"
#include "api/lanyard/registry/mesh_rules.grpc.pb.h"
#include "api/lanyard/registry/registry.grpc.pb.h"
#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"
#include "identity/base/atomic_file.h"
#include "identity/channel/client.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/spiffe/svid.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

namespace agents = authority::v1;
namespace operators = registry::v1;

class AuthorityTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }
  void TearDown() override {
    authority_.reset();
    rmdir(settings_.operators_socket.substr(0, settings_.operators_socket.rfind('/')).c_str());
  }

  void Restart() {
    operator_stub_.reset();
    authority_.reset();
    auto started = Authority::Start(settings_, SystemClock(), SystemRandom());
    ASSERT_TRUE(started.ok()) << started.status();
    authority_ = *std::move(started);
    // Not a connection to the authority before, which gRPC may still have in its pool.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    operator_stub_ = operators::Registry::NewStub(grpc::CreateCustomChannel(
        "unix:" + settings_.operators_socket, grpc::InsecureChannelCredentials(), arguments));
  }

  BundleSet Bundles() const {
    BundleSet bundles;
    bundles.Set(*X509Bundle::ParsePem(settings_.trust_domain, *ReadFile(settings_.bundle_file)));
    return bundles;
  }
  // An agent's connection: anonymous, or with an SVID.
  absl::StatusOr<std::unique_ptr<ChannelClient>> Dial(const X509Svid* svid = nullptr) const {
    const TlsContext::Options options = {.alpn = {"h2"}, .alpn_required = true};
    auto cache = std::make_shared<VerifyCache>();
    auto context = svid == nullptr ? TlsContext::CreateAnonymousClient(Bundles(), cache, SystemClock(), options)
                                   : TlsContext::Create(*svid, Bundles(), cache, SystemClock(), options);
    if (!context.ok()) return context.status();
    return ChannelClient::Dial(
        {.address = authority_->agents_address(),
         .expect_server =
             [](const SpiffeId& server) { return server.ToString() == "spiffe://example.org/lanyard/authority"; }},
        *context);
  }

  std::string CreateToken(const std::string& node) {
    operators::CreateJoinTokenRequest request;
    request.set_node_name(node);
    operators::CreateJoinTokenResponse response;
    grpc::ClientContext call;
    EXPECT_TRUE(operator_stub_->CreateJoinToken(&call, request, &response).ok());
    return response.token();
  }
  std::string CreateEntry(const std::string& path, const std::string& parent = "") {
    operators::CreateEntryRequest request;
    request.mutable_entry()->set_spiffe_id("spiffe://example.org" + path);
    request.mutable_entry()->set_parent_id(parent);
    request.mutable_entry()->add_selectors("unix:uid:1000");
    operators::CreateEntryResponse response;
    grpc::ClientContext call;
    EXPECT_TRUE(operator_stub_->CreateEntry(&call, request, &response).ok());
    return response.entry().id();
  }
  // With the connection's own key, so that the answer is an SVID.
  absl::StatusOr<X509Svid> Attest(const std::string& token) {
    const auto client = Dial();
    if (!client.ok()) return client.status();
    const PrivateKey key = *PrivateKey::Generate(KeyType::kEcP256);
    agents::AttestRequest request;
    request.set_join_token(token);
    request.set_csr(*Csr::Create(key));
    agents::AttestResponse response;
    grpc::ClientContext call;
    const grpc::Status status = agents::Authority::NewStub((*client)->channel())->Attest(&call, request, &response);
    if (!status.ok()) return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
    return X509Svid::Create(Parse(response.svid()), key);
  }
  static std::vector<Certificate> Parse(const agents::Svid& svid) {
    std::vector<Certificate> chain;
    for (const std::string& der : svid.chain()) {
      chain.push_back(
          *Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size())));
    }
    return chain;
  }
  operators::GetStatusResponse Status() {
    operators::GetStatusResponse response;
    grpc::ClientContext call;
    EXPECT_TRUE(operator_stub_->GetStatus(&call, {}, &response).ok());
    return response;
  }

  const std::string folder_ = NewTestFolder();
  AuthoritySettings settings_ = {.trust_domain = *TrustDomain::Parse("example.org"),
                                 .data_dir = folder_ + "/data",
                                 .sealing_key_file = folder_ + "/data/sealing.key",
                                 .bundle_file = folder_ + "/bundle.pem",
                                 .agents_host = "127.0.0.1",
                                 .agents_port = 0,
                                 .operators_socket = SocketPath(),
                                 .ca = {},
                                 .svids = {},
                                 .log = {}};
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<operators::Registry::Stub> operator_stub_;

 private:
  // The test's own folder may be deeper than a socket's path can be long.
  static std::string SocketPath() {
    std::string folder = "/tmp/lanyard-authority-test.XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder + "/o.sock";
  }
};

TEST_F(AuthorityTest, AnAgentAttestsWatchesAndGetsSvidsSigned) {
  const auto svid = Attest(CreateToken("n1"));
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().ToString(), "spiffe://example.org/lanyard/agent/n1");
  const auto client = Dial(&*svid);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stub = agents::Authority::NewStub((*client)->channel());

  grpc::ClientContext watch;
  const auto stream = stub->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  EXPECT_EQ(state.entries_size(), 0);
  const std::string entry = CreateEntry("/web", svid->id().ToString());
  const std::string foreign = CreateEntry("/foreign", "spiffe://example.org/lanyard/agent/n2");
  while (state.entries_size() == 0) ASSERT_TRUE(stream->Read(&state));
  ASSERT_EQ(state.entries_size(), 1);
  EXPECT_EQ(state.entries(0).id(), entry);

  agents::SignX509SvidsRequest request;
  for (const std::string& id : {entry, foreign}) {
    request.add_requests()->set_entry_id(id);
    request.mutable_requests()->rbegin()->set_csr(NewCsr());
  }
  agents::SignX509SvidsResponse response;
  grpc::ClientContext sign;
  ASSERT_TRUE(stub->SignX509Svids(&sign, request, &response).ok());
  EXPECT_EQ(VerifySvid(Parse(response.results(0).svid()), Bundles(), SystemClock().Now())->id.ToString(),
            "spiffe://example.org/web");
  EXPECT_EQ(response.results(1).code(), grpc::StatusCode::NOT_FOUND);

  operators::DeleteEntryRequest remove;
  remove.set_id(entry);
  operators::DeleteEntryResponse removed;
  grpc::ClientContext call;
  ASSERT_TRUE(operator_stub_->DeleteEntry(&call, remove, &removed).ok());
  while (state.entries_size() == 1) ASSERT_TRUE(stream->Read(&state));
  grpc::ClientContext again;
  ASSERT_TRUE(stub->SignX509Svids(&again, request, &response).ok());
  EXPECT_EQ(response.results(0).code(), grpc::StatusCode::NOT_FOUND) << "a deleted entry signs nothing";
}

TEST_F(AuthorityTest, ATokenWorksOnceAndOnlyForAnAgent) {
  const std::string token = CreateToken("n1");
  ASSERT_TRUE(Attest(token).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Attest(token).status()));
  const auto anonymous = Dial();
  ASSERT_TRUE(anonymous.ok());
  agents::SignX509SvidsResponse response;
  grpc::ClientContext call;
  EXPECT_EQ(agents::Authority::NewStub((*anonymous)->channel())->SignX509Svids(&call, {}, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AuthorityTest, ADeletedAgentIsCutOffAndRefused) {
  const auto svid = Attest(CreateToken("n1"));
  const auto client = Dial(&*svid);
  grpc::ClientContext watch;
  const auto stream = agents::Authority::NewStub((*client)->channel())->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  operators::DeleteAgentRequest request;
  request.set_spiffe_id(svid->id().ToString());
  operators::DeleteAgentResponse response;
  grpc::ClientContext call;
  ASSERT_TRUE(operator_stub_->DeleteAgent(&call, request, &response).ok());
  while (stream->Read(&state)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
  const auto again = Dial(&*svid);
  ASSERT_TRUE(again.ok()) << "the SVID itself is still good";
  agents::RenewNodeRequest renew;
  renew.set_csr(NewCsr());
  agents::RenewNodeResponse renewed;
  grpc::ClientContext refused;
  EXPECT_EQ(agents::Authority::NewStub((*again)->channel())->RenewNode(&refused, renew, &renewed).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AuthorityTest, ABanOfAnAgentClosesItsConnectionsAndNoOthers) {
  const auto banned = Attest(CreateToken("n1")), other = Attest(CreateToken("n2"));
  const auto client = Dial(&*banned), bystander = Dial(&*other);
  ASSERT_TRUE(client.ok() && bystander.ok());
  // Idle, but known to the authority.
  agents::SignX509SvidsResponse none;
  grpc::ClientContext first, second, third, fourth;
  ASSERT_TRUE(agents::Authority::NewStub((*client)->channel())->SignX509Svids(&first, {}, &none).ok());
  ASSERT_TRUE(agents::Authority::NewStub((*bystander)->channel())->SignX509Svids(&second, {}, &none).ok());
  operators::BanRequest request;
  request.mutable_ban()->set_agent(banned->id().ToString());
  operators::BanResponse response;
  grpc::ClientContext call;
  ASSERT_TRUE(operators::MeshRules::NewStub(grpc::CreateChannel("unix:" + settings_.operators_socket,
                                                               grpc::InsecureChannelCredentials()))
                  ->Ban(&call, request, &response)
                  .ok());
  EXPECT_EQ(agents::Authority::NewStub((*client)->channel())->SignX509Svids(&third, {}, &none).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(agents::Authority::NewStub((*bystander)->channel())->SignX509Svids(&fourth, {}, &none).ok());
}

TEST_F(AuthorityTest, AttestingANodeAnewEndsWhatRunsUnderTheSvidBefore) {
  const auto stolen = Attest(CreateToken("n1"));
  const auto thief = Dial(&*stolen);
  ASSERT_TRUE(thief.ok()) << thief.status();
  const auto stub = agents::Authority::NewStub((*thief)->channel());
  grpc::ClientContext watch, sign;
  const auto stream = stub->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  const auto anew = Attest(CreateToken("n1"));
  ASSERT_TRUE(anew.ok()) << anew.status();
  while (stream->Read(&state)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
  agents::SignX509SvidsResponse none;
  EXPECT_EQ(stub->SignX509Svids(&sign, {}, &none).error_code(), grpc::StatusCode::UNAVAILABLE);
  const auto client = Dial(&*anew);
  ASSERT_TRUE(client.ok()) << client.status();
  grpc::ClientContext own;
  EXPECT_TRUE(agents::Authority::NewStub((*client)->channel())->SignX509Svids(&own, {}, &none).ok());
}

TEST_F(AuthorityTest, AForeignSvidIsNotLetIn) {
  const FakeCa foreign = FakeCa::Root("example.org");
  const X509Svid svid = foreign.Leaf("spiffe://example.org/lanyard/agent/n1").Svid();
  BundleSet both = Bundles();
  std::vector<Certificate> roots = Bundles().bundles().begin()->second.authorities();
  roots.push_back(foreign.certificate());
  both.Set(*X509Bundle::Create(settings_.trust_domain, roots));
  const auto context = TlsContext::Create(svid, both, std::make_shared<VerifyCache>(), SystemClock(),
                                          {.alpn = {"h2"}, .alpn_required = true});
  ASSERT_TRUE(context.ok()) << context.status();
  const auto client = ChannelClient::Dial(
      {.address = authority_->agents_address(), .expect_server = [](const SpiffeId&) { return true; }}, *context);
  // In TLS 1.3 the client has finished before the server refuses it: then the first call fails.
  if (client.ok()) {
    agents::SignX509SvidsResponse response;
    grpc::ClientContext call;
    EXPECT_EQ(agents::Authority::NewStub((*client)->channel())->SignX509Svids(&call, {}, &response).error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_F(AuthorityTest, TellsOperatorsHowItIs) {
  ASSERT_TRUE(Attest(CreateToken("n1")).ok());
  CreateEntry("/web");
  const operators::GetStatusResponse status = Status();
  EXPECT_EQ(status.trust_domain(), "example.org");
  EXPECT_EQ(status.grpc_address(), authority_->agents_address());
  EXPECT_NE(status.grpc_address(), "127.0.0.1:0");
  EXPECT_EQ(status.entries(), 1);
  EXPECT_EQ(status.agents(), 1);
  ASSERT_EQ(status.authorities_size(), 2);
  EXPECT_EQ(status.authorities(0).kind(), "root");
  EXPECT_EQ(status.authorities(0).state(), "active");
  operators::GetBundleResponse bundle;
  grpc::ClientContext call;
  ASSERT_TRUE(operator_stub_->GetBundle(&call, {}, &bundle).ok());
  ASSERT_EQ(bundle.authorities_size(), 1);
  EXPECT_EQ(bundle.authorities(0), Bundles().bundles().begin()->second.authorities().front().der());
}

TEST_F(AuthorityTest, ARestartKeepsEverything) {
  const auto svid = Attest(CreateToken("n1"));
  const std::string unused = CreateToken("n2");
  const std::string entry = CreateEntry("/web");
  const BundleSet before = Bundles();
  Restart();
  EXPECT_EQ(Bundles(), before);
  EXPECT_EQ(Status().entries(), 1);
  const auto client = Dial(&*svid);
  ASSERT_TRUE(client.ok()) << client.status();
  grpc::ClientContext watch;
  const auto stream = agents::Authority::NewStub((*client)->channel())->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  EXPECT_EQ(state.entries(0).id(), entry);
  EXPECT_TRUE(Attest(unused).ok());
  operators::ListAgentsResponse list;
  grpc::ClientContext call;
  ASSERT_TRUE(operator_stub_->ListAgents(&call, {}, &list).ok());
  ASSERT_EQ(list.agents_size(), 2);
  EXPECT_TRUE(list.agents(0).connected());
  EXPECT_FALSE(list.agents(1).connected());
}

TEST_F(AuthorityTest, ALostRegistryIsNoEmptyOne) {
  CreateEntry("/web");
  const BundleSet before = Bundles();
  const std::string database = settings_.data_dir + "/registry.db";
  authority_.reset();
  for (const char* end : {"", "-wal", "-shm"}) unlink((database + end).c_str());
  for (int start = 0; start < 2; ++start) {  // the refusal does not make what it missed
    const absl::Status refused = Authority::Start(settings_, SystemClock(), SystemRandom()).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_NE(refused.message().find("registry.db is gone"), absl::string_view::npos) << refused;
  }
  // As the remedy says, and as a first start leaves it that ended before its first record.
  ASSERT_TRUE(WriteFileAtomically(database, "", 0600).ok());
  Restart();
  EXPECT_EQ(Status().entries(), 0);
  EXPECT_EQ(Bundles(), before) << "the same keys sign on";
  const auto svid = Attest(CreateToken("n1"));
  ASSERT_TRUE(svid.ok()) << svid.status();
  const auto client = Dial(&*svid);
  ASSERT_TRUE(client.ok()) << client.status();
  grpc::ClientContext watch;
  const auto stream = agents::Authority::NewStub((*client)->channel())->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  EXPECT_GE(state.mesh_version(), 1u) << "agents would take 0 for no word on bans, and keep those of the lost one";
}

TEST_F(AuthorityTest, AFirstStartThatEndedBeforeItsKeysBeginsAnew) {
  authority_.reset();
  for (const char* file : {"/authorities.sealed", "/sealing.key", "/registry.db", "/registry.db-wal"}) {
    unlink((settings_.data_dir + file).c_str());
  }
  ASSERT_TRUE(WriteFileAtomically(settings_.data_dir + "/registry.db", "", 0600).ok());
  Restart();
  EXPECT_EQ(Status().authorities_size(), 2);
}

TEST_F(AuthorityTest, StopsWithStreamsOpen) {
  const auto svid = Attest(CreateToken("n1"));
  const auto client = Dial(&*svid);
  grpc::ClientContext watch;
  const auto stream = agents::Authority::NewStub((*client)->channel())->WatchNode(&watch, {});
  agents::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  const absl::Time before = SystemClock().Now();
  authority_->Stop(absl::Seconds(30));
  EXPECT_LT(SystemClock().Now() - before, absl::Seconds(15)) << "streams end at once; nothing is waited for";
  EXPECT_FALSE(stream->Read(&state));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(AuthorityTest, ASecondAuthorityIsKeptOut) {
  const absl::Status second = Authority::Start(settings_, SystemClock(), SystemRandom()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_NE(second.message().find("in use"), absl::string_view::npos) << second;
}

TEST_F(AuthorityTest, ItsSocketAndFilesAreItsOwn) {
  for (const std::string& path : {settings_.operators_socket, settings_.data_dir + "/registry.db",
                                  settings_.data_dir + "/authorities.sealed", settings_.sealing_key_file}) {
    struct stat facts;
    ASSERT_EQ(stat(path.c_str(), &facts), 0) << path;
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << path;
  }
}

}  // namespace
}  // namespace lanyard
