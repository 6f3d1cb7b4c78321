#include "identity/channel/client.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/descriptor.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/channel/server.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

class ClientTest : public testing::Test {
 protected:
  ClientTest() { server_ = Serve(Context(root_, "spiffe://example.org/authority")); }

  static absl::StatusOr<std::shared_ptr<const TlsContext>> TryContext(
      const FakeCa& ca, absl::string_view id, FakeOptions options,
      TlsContext::Options tls = {.alpn = {"h2"}, .alpn_required = true}) {
    return TlsContext::Create(ca.Leaf(id, std::move(options)).Svid(), ca.Bundles(), std::make_shared<VerifyCache>(),
                              SystemClock(), std::move(tls));
  }
  static std::shared_ptr<const TlsContext> Context(const FakeCa& ca, absl::string_view id,
                                                   TlsContext::Options tls = {.alpn = {"h2"}, .alpn_required = true}) {
    auto context = TryContext(ca, id, {}, std::move(tls));
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  std::unique_ptr<ChannelServer> Serve(std::shared_ptr<const TlsContext> context) {
    auto server = ChannelServer::Start({.address = "127.0.0.1:0"}, std::move(context), {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  ChannelClient::Options Options() {
    return {.address = absl::StrCat("127.0.0.1:", server_->port()),
            .expect_server = [](const SpiffeId& id) { return id.path() == "/authority"; },
            .timeout = absl::Seconds(20)};
  }
  std::shared_ptr<const TlsContext> Web() { return Context(root_, "spiffe://example.org/web"); }

  const FakeCa root_ = FakeCa::Root("example.org");
  FakeEchoService service_;
  std::unique_ptr<ChannelServer> server_;
};

TEST_F(ClientTest, AServerThatIsNotExpectedIsRefused) {
  ChannelClient::Options options = Options();
  options.expect_server = [](const SpiffeId& id) { return id.path() == "/other"; };
  const absl::Status status = ChannelClient::Dial(std::move(options), Web()).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("spiffe://example.org/authority"));
}

TEST_F(ClientTest, AServerThatDoesNotVerifyIsRefusedWithItsDefect) {
  const absl::Status status =
      ChannelClient::Dial(Options(), Context(FakeCa::Root("example.org"), "spiffe://example.org/web")).status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_EQ(DefectOf(status), SvidDefect::kUntrusted);
}

TEST_F(ClientTest, AServerThatRefusesUsSaysWhy) {
  // We trust the server's root as well as ours; it does not trust ours.
  const FakeCa other = FakeCa::Root("other.org");
  BundleSet both = other.Bundles();
  both.Set(root_.Bundle());
  const auto context = *TlsContext::Create(other.Leaf("spiffe://other.org/web").Svid(), both,
                                           std::make_shared<VerifyCache>(), SystemClock(),
                                           {.alpn = {"h2"}, .alpn_required = true});
  const absl::Status status = ChannelClient::Dial(Options(), context).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("UNKNOWN_CA"));
}

TEST_F(ClientTest, Http2MustBeAgreedOn) {
  const absl::Status by_server =
      ChannelClient::Dial(Options(), Context(root_, "spiffe://example.org/web", {.alpn = {"other"}})).status();
  EXPECT_TRUE(absl::IsUnavailable(by_server)) << by_server;
  EXPECT_EQ(server_->stats().failed_handshakes, 1u);
}

TEST_F(ClientTest, NobodyListeningIsUnavailable) {
  ChannelClient::Options options = Options();
  server_.reset();
  EXPECT_TRUE(absl::IsUnavailable(ChannelClient::Dial(std::move(options), Web()).status()));
}

TEST_F(ClientTest, AServerThatSaysNothingIsGivenUp) {
  const Descriptor mute(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(mute.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(mute.get(), 1), 0);
  ASSERT_EQ(getsockname(mute.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  ChannelClient::Options options = Options();
  options.address = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  options.timeout = absl::Milliseconds(100);
  const absl::Status status = ChannelClient::Dial(std::move(options), Web()).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(ClientTest, AWrongAddressIsSaid) {
  for (const char* address : {"", "host", "host:", "host:http", "::1:443", "[::1]"}) {
    ChannelClient::Options options = Options();
    options.address = address;
    EXPECT_TRUE(absl::IsInvalidArgument(ChannelClient::Dial(std::move(options), Web()).status())) << address;
  }
}

TEST_F(ClientTest, ABrokenConnectionStaysBroken) {
  const auto client = ChannelClient::Dial(Options(), Web());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(Echo((*client)->channel(), "x", nullptr).ok());
  server_->CloseConnections([](const VerifiedSvid&) { return true; });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Echo((*client)->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_F(ClientTest, AChannelMayOutliveItsClientButIsOfNoUse) {
  auto client = ChannelClient::Dial(Options(), Web());
  ASSERT_TRUE(client.ok()) << client.status();
  const std::shared_ptr<grpc::Channel> channel = (*client)->channel();
  client->reset();
  EXPECT_EQ(Echo(channel, "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ClientTest, AServersSvidThatExpiresEndsTheConnection) {
  std::vector<std::unique_ptr<ChannelServer>> before;  // which end after the calls that they hold
  const auto held = [&](int seconds) {
    const absl::Time end = SystemClock().Now() + absl::Seconds(seconds);
    const auto brief = TryContext(root_, "spiffe://example.org/authority", {.not_after = end});
    if (!brief.ok()) return false;
    before.push_back(std::move(server_));
    server_ = Serve(*brief);
    const auto client = ChannelClient::Dial(Options(), Web());
    return client.ok() && HoldUntilClosed((*client)->channel());
  };
  EXPECT_TRUE(held(2) || held(8) || held(32));
  service_.Release();
}

}  // namespace
}  // namespace lanyard
