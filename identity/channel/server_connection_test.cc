// What ends a connection to a ChannelServer: a handshake that stalls or is no handshake, an SVID that expires.
#include "identity/channel/server_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "identity/channel/client.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/channel/server.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

constexpr int kPatienceMs = 20000;

class ServerConnectionTest : public testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const TlsContext>> TryContext(absl::string_view id, FakeOptions options) {
    return TlsContext::Create(root_.Leaf(id, std::move(options)).Svid(), root_.Bundles(),
                              std::make_shared<VerifyCache>(), SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
  }
  std::shared_ptr<const TlsContext> Context(absl::string_view id) {
    auto context = TryContext(id, {});
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  void StartServer(ChannelServer::Options options) {
    options.address = "127.0.0.1:0";
    auto server = ChannelServer::Start(std::move(options), Context("spiffe://example.org/authority"), {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  absl::StatusOr<std::unique_ptr<ChannelClient>> Dial(std::shared_ptr<const TlsContext> context) {
    return ChannelClient::Dial({.address = absl::StrCat("127.0.0.1:", server_->port()),
                                .expect_server = [](const SpiffeId&) { return true; }},
                               std::move(context));
  }
  // `source`: an address of this host, which otherwise calls from 127.0.0.1.
  Descriptor ConnectFrom(uint32_t source) {
    Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(source);
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(server_->port());
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return socket;
  }
  Descriptor Connect() {
    Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return socket;
  }
  // Reads until the server closes; false if it does not in time.
  static bool ClosedByServer(const Descriptor& socket) {
    pollfd poll_for = {socket.get(), POLLIN, 0};
    char buffer[4096];
    while (poll(&poll_for, 1, kPatienceMs) == 1) {
      if (recv(socket.get(), buffer, sizeof(buffer), 0) <= 0) return true;
    }
    return false;
  }

  const FakeCa root_ = FakeCa::Root("example.org");
  FakeEchoService service_;
  std::unique_ptr<ChannelServer> server_;
};

TEST_F(ServerConnectionTest, AHandshakeThatStallsIsEnded) {
  StartServer({.handshake_timeout = absl::Milliseconds(50)});
  EXPECT_TRUE(ClosedByServer(Connect()));
  EXPECT_EQ(server_->stats().failed_handshakes, 1u);
  EXPECT_EQ(server_->stats().open, 0u);
}

TEST_F(ServerConnectionTest, GarbageIsRefused) {
  StartServer({});
  const std::vector<std::string> hostile = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                            std::string(100000, '\0'), std::string("\x16\x03\x01\xff\xff", 5) + "x",
                                            std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10)};
  for (const std::string& text : hostile) {
    const Descriptor socket = Connect();
    send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    shutdown(socket.get(), SHUT_WR);
    EXPECT_TRUE(ClosedByServer(socket)) << text.substr(0, 20);
  }
  EXPECT_EQ(server_->stats().failed_handshakes, hostile.size());
  EXPECT_TRUE(Dial(Context("spiffe://example.org/web")).ok());
}

TEST_F(ServerConnectionTest, WhereHandshakesAreTooManyTheOldestGives) {
  StartServer({.max_unidentified = 2});
  const Descriptor oldest = Connect();
  const Descriptor second = Connect();
  const auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(ClosedByServer(oldest));
  EXPECT_TRUE(Echo((*client)->channel(), "x", nullptr).ok());
}

TEST_F(ServerConnectionTest, AnAddressThatConnectsWithoutEndPushesOutItsOwn) {
  StartServer({.max_unidentified = 3});
  const Descriptor honest = ConnectFrom(INADDR_LOOPBACK + 1);
  std::vector<Descriptor> flood;
  for (int i = 0; i < 6; ++i) flood.push_back(Connect());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ClosedByServer(flood[static_cast<size_t>(i)])) << i;
  char byte;
  EXPECT_EQ(recv(honest.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(server_->stats().failed_handshakes, 4u);
}

// More at once than a turn of the loop has time for: those that wait have their turn.
TEST_F(ServerConnectionTest, HandshakesThatComeTogetherAllSucceed) {
  StartServer({.max_connections_per_id = 1000});
  const auto context = Context("spiffe://example.org/web");
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([this, &context] {
      for (int i = 0; i < 5; ++i) {
        const auto client = Dial(context);
        ASSERT_TRUE(client.ok()) << client.status();
        EXPECT_TRUE(Echo((*client)->channel(), "x", nullptr).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_->stats().failed_handshakes, 0u);
}

TEST_F(ServerConnectionTest, AnSvidThatExpiresEndsItsConnection) {
  StartServer({});
  service_.who = [this](const grpc::ServerContextBase& call) { return server_->PeerOf(call) ? "known" : "nobody"; };
  const auto lasting = Dial(Context("spiffe://example.org/lasting"));
  ASSERT_TRUE(lasting.ok()) << lasting.status();
  const auto held = [this](int seconds) {
    const absl::Time end = SystemClock().Now() + absl::Seconds(seconds);
    const auto brief = TryContext("spiffe://example.org/brief", {.not_after = end});
    if (!brief.ok()) return false;
    const auto client = Dial(*brief);
    return client.ok() && HoldUntilClosed((*client)->channel());
  };
  EXPECT_TRUE(held(2) || held(8) || held(32));
  service_.Release();
  ASSERT_TRUE(service_.AwaitStreamsEnded(1));
  EXPECT_EQ(service_.who_at_end(), "nobody");
  EXPECT_TRUE(Echo((*lasting)->channel(), "x", nullptr).ok());
}

TEST_F(ServerConnectionTest, AnAnonymousClientHasItsTimeAndNoMore) {
  StartServer({.require_client_svid = false, .anonymous_timeout = absl::Seconds(2)});
  const auto lasting = Dial(Context("spiffe://example.org/lasting"));
  ASSERT_TRUE(lasting.ok()) << lasting.status();
  const auto anonymous = *TlsContext::CreateAnonymousClient(root_.Bundles(), std::make_shared<VerifyCache>(),
                                                            SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
  const auto held = [&] {
    const auto client = Dial(anonymous);
    return client.ok() && HoldUntilClosed((*client)->channel());
  };
  uint64_t tries = 1;
  while (!held()) ASSERT_LT(tries++, 10u);
  EXPECT_GE(server_->stats().ended_anonymous, 1u);
  EXPECT_LE(server_->stats().ended_anonymous, tries);
  EXPECT_TRUE(Echo((*lasting)->channel(), "x", nullptr).ok());
  service_.Release();
}

TEST_F(ServerConnectionTest, AHandshakeBegunUnderTheOldBundlesIsEnded) {
  StartServer({});
  const Descriptor begun = Connect();
  // Accepted, as a later connection is served already.
  ASSERT_TRUE(Dial(Context("spiffe://example.org/web")).ok());
  server_->SetContext(Context("spiffe://example.org/authority"));
  EXPECT_TRUE(ClosedByServer(begun));
}

}  // namespace
}  // namespace lanyard
