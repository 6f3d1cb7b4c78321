// The whole agent against an authority in memory: real TLS, real Unix sockets, real processes that call.
#include "identity/agent/agent.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/impl/service_type.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "api/spiffe/workload.grpc.pb.h"
#include "identity/agent/fake_authority.h"
#include "identity/agent/fake_authority_service.h"
#include "identity/agent/process_testing.h"
#include "identity/base/atomic_file.h"
#include "identity/base/descriptor.h"
#include "identity/channel/server.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

WorkloadEntry Entry(const std::string& name, std::vector<std::string> selectors) {
  return {.id = name, .spiffe_id = *SpiffeId::Parse("spiffe://example.org/" + name),
          .selectors = std::move(selectors), .dns_names = {}, .hint = ""};
}

// One call of the Workload API.
class Watch {
 public:
  explicit Watch(const std::string& socket, absl::Duration timeout = absl::Seconds(60))
      : stub_(SpiffeWorkloadAPI::NewStub(Channel(socket))) {
    context_.AddMetadata("workload.spiffe.io", "true");
    context_.set_deadline(absl::ToChronoTime(SystemClock().Now() + timeout));
    context_.set_wait_for_ready(false);
    reader_ = stub_->FetchX509SVID(&context_, X509SVIDRequest());
  }
  ~Watch() {
    context_.TryCancel();
    X509SVIDResponse rest;
    while (reader_->Read(&rest)) {
    }
    if (!finished_) reader_->Finish();
  }
  bool Next() { return reader_->Read(&response); }
  grpc::StatusCode Finish() {
    finished_ = true;
    return reader_->Finish().error_code();
  }

  X509SVIDResponse response;

 private:
  // Not a connection that an earlier call of this test left in gRPC's pool.
  static std::shared_ptr<grpc::Channel> Channel(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
  }
  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> reader_;
  bool finished_ = false;
};

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    StartAuthority("127.0.0.1:0");
    port_ = server_->port();
    EXPECT_TRUE(
        WriteFileAtomically(dir_ + "/bundle.pem", authority_.bundles().bundles().begin()->second.ToPem(), 0600).ok());
    authority_.AddToken("n1");
    authority_.SetEntries({Entry("web", {me_})});
  }
  ~AgentTest() override {
    agent_.reset();
    authority_.SetAway(true);
  }

  void StartAuthority(const std::string& address) {
    authority_.SetAway(false);
    service_ = NewFakeAuthorityService(authority_, [this](const grpc::ServerContextBase& call) {
      const auto peer = server_->PeerOf(call);
      return peer ? std::optional<SpiffeId>(peer->id) : std::nullopt;
    });
    ChannelServer::Options options;
    options.address = address;
    options.require_client_svid = false;
    auto context = TlsContext::Create(authority_.ServerSvid(), authority_.bundles(), std::make_shared<VerifyCache>(),
                                      SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
    auto server = ChannelServer::Start(options, *context, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void StopAuthority() {
    authority_.SetAway(true);
    server_.reset();
    ReservePort();
  }
  // Bound where nobody listens: others are not given the authority's port while it is away.
  void ReservePort() {
    reserved_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(setsockopt(reserved_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ASSERT_EQ(bind(reserved_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  void StartAgent() {
    const AgentSettings settings = {.trust_domain = authority_.trust_domain(),
                                    .data_dir = dir_ + "/data",
                                    .authority_address = absl::StrCat("127.0.0.1:", port_),
                                    .bundle_file = dir_ + "/bundle.pem",
                                    .insecure_trust_on_first_use = false,
                                    .connect_timeout = absl::Seconds(5),
                                    .join_token = "n1",
                                    .join_token_file = "",
                                    .socket_path = socket_,
                                    .log = {}};
    auto agent = Agent::Start(settings, SystemClock(), SystemRandom());
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
  }
  // The first answer that is no UNAVAILABLE; what a workload does while the agent has no state yet.
  std::unique_ptr<Watch> FirstAnswer() {
    const absl::Time deadline = SystemClock().Now() + absl::Seconds(30);
    for (;;) {
      auto watch = std::make_unique<Watch>(socket_);
      if (watch->Next()) return watch;
      const grpc::StatusCode code = watch->Finish();
      EXPECT_EQ(code, grpc::StatusCode::UNAVAILABLE);
      EXPECT_LT(SystemClock().Now(), deadline);
      if (code != grpc::StatusCode::UNAVAILABLE || SystemClock().Now() > deadline) return nullptr;
      poll(nullptr, 0, 20);
    }
  }
  void ExpectUsable(const X509SVID& svid) {
    const auto chain = Certificate::ParseConcatenatedDer(Bytes(svid.x509_svid()));
    ASSERT_TRUE(chain.ok()) << chain.status();
    const auto verified = VerifySvid(*chain, authority_.bundles(), SystemClock().Now());
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->id.ToString(), svid.spiffe_id());
    const auto key = PrivateKey::ParsePkcs8Der(Bytes(svid.x509_svid_key()));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->public_key_der(), chain->front().public_key_der());
  }

  const std::string me_ = absl::StrCat("unix:uid:", getuid());
  std::string dir_ = testing::TempDir() + "/agentXXXXXX";
  // A socket's path is short: the test's folder may not be.
  const std::string socket_ = absl::StrCat("/tmp/lanyard-agent-test-", getpid(), ".sock");
  uint16_t port_ = 0;
  Descriptor reserved_;
  FakeAuthority authority_{SystemClock()};
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<ChannelServer> server_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AgentTest, HandsAWorkloadItsSvidAndPushesEveryChange) {
  StartAgent();
  const auto watch = FirstAnswer();
  ASSERT_NE(watch, nullptr);
  ASSERT_EQ(watch->response.svids_size(), 1);
  ExpectUsable(watch->response.svids(0));
  EXPECT_EQ(watch->response.svids(0).bundle(), authority_.bundles().bundles().begin()->second.ToConcatenatedDer());
  authority_.SetEntries({Entry("web", {me_}), Entry("db", {me_})});
  do {
    ASSERT_TRUE(watch->Next());
  } while (watch->response.svids_size() < 2);
  ExpectUsable(watch->response.svids(1));
  authority_.SetEntries({});
  EXPECT_FALSE(watch->Next());
  EXPECT_EQ(watch->Finish(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AgentTest, RenewsSvidsOfSecondsWhileTheyAreUsed) {
  // What a busy machine comes late by must be less than what is left at a renewal.
  authority_.SetLifetimes(absl::Seconds(9), absl::Seconds(9));
  StartAgent();
  const auto watch = FirstAnswer();
  ASSERT_NE(watch, nullptr);
  std::string last;
  for (int i = 0; i < 3; ++i) {
    if (i > 0) {
      ASSERT_TRUE(watch->Next());
    }
    ExpectUsable(watch->response.svids(0));
    EXPECT_NE(watch->response.svids(0).x509_svid(), last);
    last = watch->response.svids(0).x509_svid();
  }
  while (authority_.renewed() < 1) ASSERT_TRUE(watch->Next());
  EXPECT_EQ(authority_.attested(), 1);
}

TEST_F(AgentTest, ServesWithoutTheAuthorityAndAfterARestartToo) {
  StartAgent();
  auto watch = FirstAnswer();
  ASSERT_NE(watch, nullptr);
  const std::string svid = watch->response.svids(0).x509_svid();
  StopAuthority();
  auto second = FirstAnswer();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->response.svids(0).x509_svid(), svid);
  watch.reset();
  second.reset();
  agent_.reset();
  StartAgent();
  const auto restarted = FirstAnswer();
  ASSERT_NE(restarted, nullptr);
  EXPECT_EQ(restarted->response.svids(0).x509_svid(), svid);
  // And when the authority is back, changes arrive, without a new token.
  StartAuthority(absl::StrCat("127.0.0.1:", port_));
  authority_.SetEntries({Entry("web", {me_}), Entry("db", {me_})});
  do {
    ASSERT_TRUE(restarted->Next());
  } while (restarted->response.svids_size() < 2);
  EXPECT_EQ(authority_.attested(), 1);
}

TEST_F(AgentTest, ACallerWithoutAnEntryIsDenied) {
  authority_.SetEntries({Entry("web", {"unix:uid:424242"})});
  StartAgent();
  const absl::Time deadline = SystemClock().Now() + absl::Seconds(30);
  grpc::StatusCode code = grpc::StatusCode::UNAVAILABLE;
  while (code == grpc::StatusCode::UNAVAILABLE && SystemClock().Now() < deadline) {
    Watch watch(socket_);
    EXPECT_FALSE(watch.Next());
    code = watch.Finish();
  }
  EXPECT_EQ(code, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AgentTest, APathSelectorNamesThisBinary) {
  std::string self(4096, '\0');
  self.resize(static_cast<size_t>(readlink("/proc/self/exe", self.data(), self.size())));
  authority_.SetEntries({Entry("web", {"unix:path:" + self}), Entry("foreign", {"unix:path:/bin/true"})});
  StartAgent();
  const auto watch = FirstAnswer();
  ASSERT_NE(watch, nullptr);
  ASSERT_EQ(watch->response.svids_size(), 1);
  EXPECT_EQ(watch->response.svids(0).spiffe_id(), "spiffe://example.org/web");
}

// A process that is entitled connects and leaves its connection to another, then exits.
TEST_F(AgentTest, AConnectionWhoseProcessExitedGetsNoSvid) {
  StartAgent();
  ASSERT_NE(FirstAnswer(), nullptr);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    socket_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) _exit(1);
    char byte = 0;
    iovec data = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &connection, sizeof(int));
    _exit(sendmsg(pair[1], &message, 0) == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ASSERT_EQ(recvmsg(pair[0], &message, 0), 1);
  int connection = -1;
  memcpy(&connection, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  close(pair[0]);
  close(pair[1]);
  ASSERT_GE(connection, 0);

  grpc::ClientContext context;
  context.AddMetadata("workload.spiffe.io", "true");
  context.set_deadline(absl::ToChronoTime(SystemClock().Now() + absl::Seconds(20)));
  const auto stub = SpiffeWorkloadAPI::NewStub(grpc::CreateInsecureChannelFromFd("passed", connection));
  const auto reader = stub->FetchX509SVID(&context, X509SVIDRequest());
  X509SVIDResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const grpc::StatusCode code = reader->Finish().error_code();
  EXPECT_TRUE(code == grpc::StatusCode::PERMISSION_DENIED || code == grpc::StatusCode::UNAVAILABLE) << code;
}

TEST_F(AgentTest, ASecondAgentOnTheSameDataIsTurnedAway) {
  StartAgent();
  const AgentSettings second = {.trust_domain = authority_.trust_domain(), .data_dir = dir_ + "/data",
                                .authority_address = "127.0.0.1:1", .bundle_file = dir_ + "/bundle.pem",
                                .connect_timeout = absl::Seconds(1), .join_token = "", .join_token_file = "",
                                .socket_path = socket_ + "2", .log = {}};
  EXPECT_TRUE(absl::IsFailedPrecondition(Agent::Start(second, SystemClock(), SystemRandom()).status()));
}

TEST_F(AgentTest, DamagedStateIsReplacedByANewAttestation) {
  StartAgent();
  ASSERT_NE(FirstAnswer(), nullptr);
  agent_.reset();
  for (const char* file : {"/data/node.sealed", "/data/workloads.sealed"}) {
    ASSERT_TRUE(WriteFileAtomically(dir_ + file, "damaged", 0600).ok());
  }
  authority_.AddToken("n1");
  StartAgent();
  EXPECT_NE(FirstAnswer(), nullptr);
  EXPECT_EQ(authority_.attested(), 2);
}

}  // namespace
}  // namespace lanyard
