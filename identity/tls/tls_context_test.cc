#include "identity/tls/tls_context.h"

#include <openssl/obj.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/handshake_testing.h"

namespace lanyard {
namespace {

constexpr absl::string_view kClientId = "spiffe://example.org/client";
constexpr absl::string_view kServerId = "spiffe://example.org/server";

class TlsContextTest : public testing::Test {
 protected:
  TlsContextTest()
      : clock_(SystemClock().Now()),
        cache_(std::make_shared<VerifyCache>()),
        root_(FakeCa::Root("example.org")),
        intermediate_(root_.Intermediate()) {}

  std::shared_ptr<const TlsContext> Context(const X509Svid& svid, TlsContext::Options options = {}) {
    return Context(svid, root_.Bundles(), std::move(options));
  }
  std::shared_ptr<const TlsContext> Context(const X509Svid& svid, BundleSet bundles, TlsContext::Options options = {}) {
    auto context = TlsContext::Create(svid, std::move(bundles), cache_, clock_, std::move(options));
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  X509Svid Svid(absl::string_view id, FakeOptions options = {}) {
    return intermediate_.Leaf(id, std::move(options)).Svid();
  }
  std::shared_ptr<const TlsContext> Server(TlsContext::Options options = {}) {
    return Context(Svid(kServerId), std::move(options));
  }
  std::shared_ptr<const TlsContext> Client(TlsContext::Options options = {}) {
    return Context(Svid(kClientId), std::move(options));
  }

  FakeClock clock_;
  std::shared_ptr<VerifyCache> cache_;
  FakeCa root_;
  FakeCa intermediate_;
};

TEST_F(TlsContextTest, BothSidesLearnWhoTheOtherIs) {
  const auto server = Server(), client = Client();
  const TestHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  ASSERT_TRUE(h.Succeeded()) << h.client_error << " / " << h.server_error;
  ASSERT_NE(PeerOf(h.server.get()), nullptr);
  ASSERT_NE(PeerOf(h.client.get()), nullptr);
  EXPECT_EQ(PeerOf(h.server.get())->id.ToString(), kClientId);
  EXPECT_EQ(PeerOf(h.client.get())->id.ToString(), kServerId);
  EXPECT_EQ(PeerOf(h.server.get())->serial, client->svid()->leaf().serial());
  EXPECT_TRUE(PeerVerificationError(h.server.get()).ok());
  EXPECT_EQ(SSL_version(h.server.get()), TLS1_3_VERSION);
  EXPECT_EQ(Send(h.client.get(), h.server.get(), "hello"), "hello");
  EXPECT_EQ(Send(h.server.get(), h.client.get(), "there"), "there");
}

TEST_F(TlsContextTest, EveryKeyTypeIsUnderstood) {
  for (const auto& key : {FakeEd25519Key(), FakeRsaKey(2048), FakeEcKey(NID_secp384r1), FakeEcKey(NID_secp521r1)}) {
    const auto client = Context(Svid(kClientId, {.key = key})), server = Context(Svid(kServerId, {.key = key}));
    const TestHandshake h = RunHandshake(client->NewClient(), server->NewServer());
    EXPECT_TRUE(h.Succeeded()) << EVP_PKEY_id(key.get()) << ": " << h.client_error << " / " << h.server_error;
  }
}

TEST_F(TlsContextTest, NobodyIsAPeerBeforeTheHandshakeIsOver) {
  const auto server = Server();
  const bssl::UniquePtr<SSL> ssl = server->NewServer();
  EXPECT_EQ(PeerOf(ssl.get()), nullptr);
  EXPECT_TRUE(PeerVerificationError(ssl.get()).ok());
}

TEST_F(TlsContextTest, ConnectionsOutliveTheirContext) {
  auto server = Server(), client = Client();
  bssl::UniquePtr<SSL> server_ssl = server->NewServer(), client_ssl = client->NewClient();
  server.reset();
  client.reset();
  const TestHandshake h = RunHandshake(std::move(client_ssl), std::move(server_ssl));
  ASSERT_TRUE(h.Succeeded());
  EXPECT_EQ(PeerOf(h.server.get())->id.ToString(), kClientId);
}

TEST_F(TlsContextTest, AnAnonymousClientIsLetInOnlyWhereAllowed) {
  const auto server = Server();
  const auto client = TlsContext::CreateAnonymousClient(root_.Bundles(), cache_, clock_, {});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->svid(), nullptr);
  const TestHandshake allowed = RunHandshake((*client)->NewClient(), server->NewServer(false));
  ASSERT_TRUE(allowed.Succeeded()) << allowed.client_error << " / " << allowed.server_error;
  EXPECT_EQ(PeerOf(allowed.server.get()), nullptr);
  EXPECT_EQ(PeerOf(allowed.client.get())->id.ToString(), kServerId);
  EXPECT_FALSE(RunHandshake((*client)->NewClient(), server->NewServer()).server_done);
}

TEST_F(TlsContextTest, AnOwnSvidThatNobodyCouldVerifyIsRefused) {
  const auto context = TlsContext::Create(Svid(kClientId), FakeCa::Root("example.org").Bundles(), cache_, clock_, {});
  EXPECT_EQ(DefectOf(context.status()), SvidDefect::kUntrusted);
  const FakeOptions expired = {.not_before = clock_.Now() - absl::Hours(2), .not_after = clock_.Now() - absl::Hours(1)};
  const auto old = TlsContext::Create(Svid(kClientId, expired), root_.Bundles(), cache_, clock_, {});
  EXPECT_EQ(DefectOf(old.status()), SvidDefect::kExpired);
}

TEST_F(TlsContextTest, Tls12IsRefused) {
  const auto server = Server();
  const FakeLeaf leaf = intermediate_.Leaf(kClientId);
  RawPeer client(DerOf(leaf), leaf.key.get());
  SSL_CTX_set_max_proto_version(client.ctx.get(), TLS1_2_VERSION);
  const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(h.server_error, "UNSUPPORTED_PROTOCOL");
  EXPECT_EQ(h.client_error, "TLSV1_ALERT_PROTOCOL_VERSION");
}

TEST_F(TlsContextTest, AnOpenConnectionIsVerifiedAgainAgainstNewBundlesAndTime) {
  const auto server = Server(), client = Client();
  const TestHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  ASSERT_TRUE(h.Succeeded());
  EXPECT_TRUE(server->Reverify(h.server.get()).ok());
  const FakeCa other_root = FakeCa::Root("example.org");
  const auto moved = Context(other_root.Leaf(kServerId).Svid(), other_root.Bundles());
  EXPECT_EQ(DefectOf(moved->Reverify(h.server.get())), SvidDefect::kUntrusted);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(DefectOf(server->Reverify(h.server.get())), SvidDefect::kExpired);
}

TEST_F(TlsContextTest, TakeTlsErrorEmptiesTheQueue) {
  const auto server = Server();
  RunHandshake(RawPeer().NewClient(), server->NewServer());
  EXPECT_EQ(TakeTlsError(), "no TLS error");
}

}  // namespace
}  // namespace lanyard
