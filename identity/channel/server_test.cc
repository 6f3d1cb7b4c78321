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

}  // namespace
}  // namespace lanyard
