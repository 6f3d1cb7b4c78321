#include "identity/channel/server.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/channel/client.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

constexpr absl::string_view kServerId = "spiffe://example.org/authority";

class ServerTest : public testing::Test {
 protected:
  std::shared_ptr<const TlsContext> Context(absl::string_view id, FakeOptions options = {}) {
    return Context(root_.Leaf(id, std::move(options)).Svid(), root_.Bundles());
  }
  std::shared_ptr<const TlsContext> Context(X509Svid svid, BundleSet bundles) {
    auto context = TlsContext::Create(std::move(svid), std::move(bundles), std::make_shared<VerifyCache>(),
                                      SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  std::shared_ptr<const TlsContext> Anonymous() {
    return *TlsContext::CreateAnonymousClient(root_.Bundles(), std::make_shared<VerifyCache>(), SystemClock(),
                                              {.alpn = {"h2"}, .alpn_required = true});
  }
  void StartServer(ChannelServer::Options options = {}) {
    options.address = "127.0.0.1:0";
    auto server = ChannelServer::Start(std::move(options), Context(kServerId), {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    service_.who = [this](const grpc::ServerContextBase& call) {
      const auto peer = server_->PeerOf(call);
      return peer ? peer->id.ToString() : "nobody";
    };
  }
  absl::StatusOr<std::unique_ptr<ChannelClient>> Dial(std::shared_ptr<const TlsContext> context) {
    return ChannelClient::Dial({.address = absl::StrCat("127.0.0.1:", server_->port()),
                                .expect_server = [](const SpiffeId& id) { return id.ToString() == kServerId; }},
                               std::move(context));
  }

  // Each look is a turn of the server's loop.
  bool AwaitOpen(uint64_t count) const {
    const absl::Duration start = SystemClock().Monotonic();
    while (server_->stats().open != count) {
      if (SystemClock().Monotonic() - start > absl::Seconds(60)) return false;
    }
    return true;
  }

  const FakeCa root_ = FakeCa::Root("example.org");
  FakeEchoService service_;
  std::unique_ptr<ChannelServer> server_;
};

TEST_F(ServerTest, AHandlerKnowsItsCaller) {
  StartServer();
  const auto web = Dial(Context("spiffe://example.org/web")), db = Dial(Context("spiffe://example.org/db"));
  ASSERT_TRUE(web.ok()) << web.status();
  ASSERT_TRUE(db.ok()) << db.status();
  std::string echoed, who;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Echo((*web)->channel(), "hello", &echoed, &who).ok());
    EXPECT_EQ(echoed, "hello");
    EXPECT_EQ(who, "spiffe://example.org/web");
    ASSERT_TRUE(Echo((*db)->channel(), "hello", &echoed, &who).ok());
    EXPECT_EQ(who, "spiffe://example.org/db");
  }
  EXPECT_EQ((*web)->server().id.ToString(), kServerId);
  EXPECT_EQ(server_->stats().open, 2u);
  EXPECT_EQ(server_->stats().accepted, 2u);
}

TEST_F(ServerTest, LargeMessagesPassBothWays) {
  StartServer();
  const auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok()) << client.status();
  std::string text(4 << 20, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  std::string echoed;
  ASSERT_TRUE(Echo((*client)->channel(), text, &echoed).ok());
  EXPECT_TRUE(echoed == text);
}

TEST_F(ServerTest, AReaderThatStopsReadingStopsTheWriter) {
  StartServer();
  const auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stub = SpiffeWorkloadAPI::NewStub((*client)->channel());
  grpc::ClientContext call;
  const auto reader = stub->FetchX509Bundles(&call, {});
  X509BundlesResponse message;
  ASSERT_TRUE(reader->Read(&message));
  // Other calls get through meanwhile; the stream's window is full by then.
  std::string echoed;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Echo((*client)->channel(), std::string(1 << 20, 'y'), &echoed).ok());
  EXPECT_LT(service_.messages_streamed(), 100u);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(reader->Read(&message));
    EXPECT_EQ(message.crl(0).size(), service_.streamed_size_bytes);
  }
  call.TryCancel();
  EXPECT_TRUE(service_.AwaitStreamsEnded(1));
  reader->Finish();
}

TEST_F(ServerTest, AClientThatVanishesMidStreamEndsItsHandlerAndIsForgotten) {
  StartServer();
  auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stub = SpiffeWorkloadAPI::NewStub((*client)->channel());
  grpc::ClientContext held_call, flowing_call;
  const auto held = stub->FetchX509SVID(&held_call, {});
  X509SVIDResponse first;
  ASSERT_TRUE(held->Read(&first));
  const auto flowing = stub->FetchX509Bundles(&flowing_call, {});
  X509BundlesResponse message;
  ASSERT_TRUE(flowing->Read(&message));
  client->reset();
  EXPECT_TRUE(service_.AwaitStreamsEnded(1));
  EXPECT_TRUE(absl::IsUnavailable(absl::Status(
      static_cast<absl::StatusCode>(held->Finish().error_code()), "")));
  ASSERT_TRUE(AwaitOpen(0)) << "gRPC may end a stream before the server has closed its connection";
  service_.Release();
  EXPECT_TRUE(service_.AwaitStreamsEnded(2));
  EXPECT_EQ(service_.who_at_end(), "nobody");
  while (flowing->Read(&message)) {
  }
  flowing->Finish();
}

TEST_F(ServerTest, ConnectionsMayBeClosedByTheirPeersId) {
  StartServer();
  const auto web = Dial(Context("spiffe://example.org/web")), db = Dial(Context("spiffe://example.org/db"));
  ASSERT_TRUE(web.ok() && db.ok());
  EXPECT_EQ(server_->CloseConnections([](const VerifiedSvid& peer) { return peer.id.path() == "/web"; }), 1u);
  EXPECT_EQ(Echo((*web)->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Echo((*db)->channel(), "x", nullptr).ok());
  EXPECT_EQ(server_->stats().open, 1u);
}

TEST_F(ServerTest, ACallInFlightLosesItsCallerWhenTheConnectionIsClosed) {
  StartServer();
  const auto web = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(web.ok());
  const auto stub = SpiffeWorkloadAPI::NewStub((*web)->channel());
  grpc::ClientContext call;
  const auto held = stub->FetchX509SVID(&call, {});
  X509SVIDResponse first;
  ASSERT_TRUE(held->Read(&first));
  EXPECT_EQ(server_->CloseConnections([](const VerifiedSvid&) { return true; }), 1u);
  service_.Release();
  ASSERT_TRUE(service_.AwaitStreamsEnded(1));
  EXPECT_EQ(service_.who_at_end(), "nobody");
  held->Finish();
}

TEST_F(ServerTest, ANewBundleClosesThoseItNoLongerCovers) {
  StartServer();
  const FakeCa other = FakeCa::Root("other.org");
  BundleSet both = root_.Bundles();
  both.Set(other.Bundle());
  server_->SetContext(Context(root_.Leaf(kServerId).Svid(), both));
  BundleSet client_bundles = both;
  const auto web = Dial(Context("spiffe://example.org/web"));
  const auto stranger = Dial(Context(other.Leaf("spiffe://other.org/guest").Svid(), client_bundles));
  ASSERT_TRUE(web.ok()) << web.status();
  ASSERT_TRUE(stranger.ok()) << stranger.status();
  ASSERT_TRUE(Echo((*stranger)->channel(), "x", nullptr).ok());

  const auto stub = SpiffeWorkloadAPI::NewStub((*web)->channel());
  grpc::ClientContext call;
  const auto stream = stub->FetchX509Bundles(&call, {});
  X509BundlesResponse message;
  ASSERT_TRUE(stream->Read(&message));

  server_->SetContext(Context(kServerId));   // example.org alone
  EXPECT_EQ(Echo((*stranger)->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(stream->Read(&message));   // the other's stream goes on
  EXPECT_TRUE(Echo((*web)->channel(), "x", nullptr).ok());
  EXPECT_FALSE(Dial(Context(other.Leaf("spiffe://other.org/guest").Svid(), client_bundles)).ok());
  call.TryCancel();
  while (stream->Read(&message)) {
  }
  stream->Finish();
}

TEST_F(ServerTest, NewConnectionsSeeTheNewIdentity) {
  StartServer();
  const auto next = Context(kServerId);
  server_->SetContext(next);
  const auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->server().serial, next->svid()->leaf().serial());
}

TEST_F(ServerTest, AnAnonymousClientIsNobodyWhereItIsLetIn) {
  StartServer({.require_client_svid = false});
  const auto anonymous = Dial(Anonymous()), web = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(anonymous.ok()) << anonymous.status();
  ASSERT_TRUE(web.ok()) << web.status();
  std::string who;
  ASSERT_TRUE(Echo((*anonymous)->channel(), "x", nullptr, &who).ok());
  EXPECT_EQ(who, "nobody");
  ASSERT_TRUE(Echo((*web)->channel(), "x", nullptr, &who).ok());
  EXPECT_EQ(who, "spiffe://example.org/web");
}

TEST_F(ServerTest, TwoHundredConnectionsAtOnce) {
  StartServer({.max_connections_per_id = 25});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      const std::string id = absl::StrCat("spiffe://example.org/client/", t);
      const auto context = Context(id);
      std::vector<std::unique_ptr<ChannelClient>> clients;
      for (int i = 0; i < 25; ++i) {
        auto client = Dial(context);
        ASSERT_TRUE(client.ok()) << client.status();
        clients.push_back(*std::move(client));
      }
      std::string who;
      for (const auto& client : clients) {
        ASSERT_TRUE(Echo(client->channel(), "x", nullptr, &who).ok());
        EXPECT_EQ(who, id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_->stats().accepted, 200u);
  EXPECT_EQ(server_->stats().failed_handshakes, 0u);
}

TEST_F(ServerTest, ConnectionsAreLimited) {
  StartServer({.max_connections = 2});
  const auto context = Context("spiffe://example.org/web");
  const auto first = Dial(context), second = Dial(context);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::IsUnavailable(Dial(context).status()));
  EXPECT_EQ(server_->stats().refused_limit, 1u);
  EXPECT_TRUE(Echo((*first)->channel(), "x", nullptr).ok());
}

TEST_F(ServerTest, OneIdKeepsNobodyOut) {
  StartServer({.max_connections = 4, .max_connections_per_id = 2});
  const auto context = Context("spiffe://example.org/web");
  std::vector<std::unique_ptr<ChannelClient>> web;
  for (int i = 0; i < 6; ++i) {
    auto client = Dial(context);
    ASSERT_TRUE(client.ok()) << i << ": " << client.status();
    // Answered: so it has opened, before the next one does.
    ASSERT_TRUE(Echo((*client)->channel(), "x", nullptr).ok()) << i;
    web.push_back(*std::move(client));
  }
  EXPECT_EQ(server_->stats().open, 2u);
  EXPECT_EQ(server_->stats().refused_limit, 4u);
  EXPECT_EQ(Echo(web[3]->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Echo(web[4]->channel(), "x", nullptr).ok());
  const auto db = Dial(Context("spiffe://example.org/db"));
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_TRUE(Echo((*db)->channel(), "x", nullptr).ok());
  // What has ended counts no more.
  EXPECT_EQ(server_->CloseConnections([](const VerifiedSvid& peer) { return peer.id.path() == "/web"; }), 2u);
  const auto first = Dial(context), second = Dial(context);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(Echo((*first)->channel(), "x", nullptr).ok());
  EXPECT_TRUE(Echo((*second)->channel(), "x", nullptr).ok());
}

TEST_F(ServerTest, AnonymousClientsKeepNobodyOutWhoHasAnSvid) {
  StartServer({.require_client_svid = false, .max_connections = 4});
  std::vector<std::unique_ptr<ChannelClient>> anonymous;
  for (int i = 0; i < 4; ++i) {
    auto client = Dial(Anonymous());
    ASSERT_TRUE(client.ok()) << client.status();
    anonymous.push_back(*std::move(client));
  }
  const auto web = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(web.ok()) << web.status();
  EXPECT_TRUE(Echo((*web)->channel(), "x", nullptr).ok());
  EXPECT_EQ(Echo(anonymous[0]->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Echo(anonymous[3]->channel(), "x", nullptr).ok());
  EXPECT_EQ(server_->stats().ended_anonymous, 1u);
  EXPECT_EQ(server_->stats().refused_limit, 0u);
}

TEST_F(ServerTest, AnonymousClientsHaveALimitOfTheirOwn) {
  StartServer({.require_client_svid = false, .max_unidentified = 2});
  const auto first = Dial(Anonymous()), second = Dial(Anonymous()), third = Dial(Anonymous());
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(Echo((*first)->channel(), "x", nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Echo((*third)->channel(), "x", nullptr).ok());
  EXPECT_EQ(server_->stats().open, 2u);
}

TEST_F(ServerTest, ShutdownLetsCallsInFlightFinish) {
  StartServer();
  const auto client = Dial(Context("spiffe://example.org/web"));
  ASSERT_TRUE(client.ok());
  const auto stub = SpiffeWorkloadAPI::NewStub((*client)->channel());
  grpc::ClientContext call;
  const auto held = stub->FetchX509SVID(&call, {});
  X509SVIDResponse message;
  ASSERT_TRUE(held->Read(&message));
  std::thread shutdown([this] { server_->Shutdown(absl::Seconds(20)); });
  service_.Release();
  EXPECT_FALSE(held->Read(&message));
  EXPECT_TRUE(held->Finish().ok());
  shutdown.join();
  EXPECT_FALSE(Dial(Context("spiffe://example.org/web")).ok());
}

TEST_F(ServerTest, AWrongAddressIsAnErrorBeforeAnythingStarts) {
  for (const char* address : {"", "127.0.0.1", "localhost:0", "127.0.0.1:99999", "[::1]"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        ChannelServer::Start({.address = address}, Context(kServerId), {&service_}).status())) << address;
  }
  StartServer();
  const auto taken = ChannelServer::Start({.address = absl::StrCat("127.0.0.1:", server_->port())}, Context(kServerId),
                                          {&service_});
  EXPECT_FALSE(taken.ok());
}

}  // namespace
}  // namespace lanyard
