// Resumed sessions are verified again, on both sides, by the bundles and the clock of that moment.
#include "identity/tls/client_sessions.h"

#include <memory>
#include <string>
#include <utility>

#include <openssl/ssl.h>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/handshake_testing.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

constexpr absl::string_view kClientId = "spiffe://example.org/client";
constexpr absl::string_view kServerId = "spiffe://example.org/server";

class ClientSessionsTest : public testing::Test {
 protected:
  ClientSessionsTest()
      : clock_(SystemClock().Now()), cache_(std::make_shared<VerifyCache>()), root_(FakeCa::Root("example.org")) {
    client_ = Context(kClientId);
    server_ = Context(kServerId);
  }

  std::shared_ptr<const TlsContext> Context(absl::string_view id, FakeOptions options = {},
                                            TlsContext::Options tls = {}) {
    auto context = TlsContext::Create(root_.Leaf(id, std::move(options)).Svid(), root_.Bundles(), cache_, clock_,
                                      std::move(tls));
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }

  // A connection that exchanges data, so that the client has taken in the server's ticket.
  TestHandshake Connect(bool require_client_svid = true) {
    bssl::UniquePtr<SSL> client = client_->NewClient();
    sessions_.Attach(client.get(), "server:443");
    TestHandshake h = RunHandshake(std::move(client), server_->NewServer(require_client_svid));
    if (h.Succeeded()) {
      EXPECT_EQ(Send(h.server.get(), h.client.get(), "ticket first"), "ticket first");
    }
    return h;
  }
  static bool Reused(const TestHandshake& h) {
    return h.Succeeded() && SSL_session_reused(h.server.get()) && SSL_session_reused(h.client.get());
  }

  FakeClock clock_;
  std::shared_ptr<VerifyCache> cache_;
  FakeCa root_;
  std::shared_ptr<const TlsContext> client_, server_;
  ClientSessionCache sessions_;
};

TEST_F(ClientSessionsTest, ASessionIsResumedAndBothSidesAreKnownAgain) {
  EXPECT_FALSE(Reused(Connect()));
  const TestHandshake h = Connect();
  ASSERT_TRUE(Reused(h)) << h.client_error << " / " << h.server_error;
  ASSERT_NE(PeerOf(h.server.get()), nullptr);
  EXPECT_EQ(PeerOf(h.server.get())->id.ToString(), kClientId);
  EXPECT_EQ(PeerOf(h.client.get())->id.ToString(), kServerId);
  EXPECT_TRUE(server_->Reverify(h.server.get()).ok());
  EXPECT_EQ(Send(h.client.get(), h.server.get(), "more"), "more");
}

TEST_F(ClientSessionsTest, ASessionIsUsedOnce) {
  Connect();
  EXPECT_EQ(sessions_.size(), 1u);
  bssl::UniquePtr<SSL> first = client_->NewClient(), second = client_->NewClient();
  sessions_.Attach(first.get(), "server:443");
  EXPECT_EQ(sessions_.size(), 0u);
  sessions_.Attach(second.get(), "server:443");
  const TestHandshake resumed = RunHandshake(std::move(first), server_->NewServer());
  const TestHandshake full = RunHandshake(std::move(second), server_->NewServer());
  EXPECT_TRUE(Reused(resumed));
  EXPECT_TRUE(full.Succeeded());
  EXPECT_FALSE(Reused(full));
}

TEST_F(ClientSessionsTest, SessionsOfAnotherPeerAreNotOffered) {
  Connect();
  bssl::UniquePtr<SSL> client = client_->NewClient();
  sessions_.Attach(client.get(), "elsewhere:443");
  EXPECT_EQ(sessions_.size(), 1u);
  EXPECT_FALSE(Reused(RunHandshake(std::move(client), server_->NewServer())));
}

TEST_F(ClientSessionsTest, AServerWithANewIdentityOrBundleTakesNoOldTicket) {
  Connect();
  server_ = Context(kServerId);
  const TestHandshake h = Connect();
  EXPECT_TRUE(h.Succeeded());
  EXPECT_FALSE(Reused(h));
}

TEST_F(ClientSessionsTest, AClientWithANewIdentityOffersNoOldSession) {
  Connect();
  client_ = Context(kClientId);
  bssl::UniquePtr<SSL> client = client_->NewClient();
  sessions_.Attach(client.get(), "server:443");
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(ClientSessionsTest, ABundleWithoutThePeersAuthorityEndsResumption) {
  Connect();
  // The server moves to another root and trusts only that; the client still offers its session.
  const FakeCa other = FakeCa::Root("example.org");
  server_ = *TlsContext::Create(other.Leaf(kServerId).Svid(), other.Bundles(), cache_, clock_, {});
  const TestHandshake h = Connect();
  EXPECT_FALSE(h.Succeeded());
  EXPECT_EQ(DefectOf(PeerVerificationError(h.client.get())), SvidDefect::kUntrusted);
}

TEST_F(ClientSessionsTest, AnExpiredClientIsNotResumedAndTheFullHandshakeSaysWhy) {
  client_ = Context(kClientId, {.not_after = clock_.Now() + absl::Minutes(5)});
  Connect();
  clock_.Advance(absl::Minutes(6));
  const TestHandshake h = Connect();
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kExpired);
  EXPECT_EQ(h.client_error, "SSLV3_ALERT_CERTIFICATE_EXPIRED");
}

TEST_F(ClientSessionsTest, ASessionWithAnExpiredServerIsNotOffered) {
  server_ = Context(kServerId, {.not_after = clock_.Now() + absl::Minutes(5)});
  Connect();
  clock_.Advance(absl::Minutes(6));
  const TestHandshake h = Connect();
  EXPECT_FALSE(h.client_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.client.get())), SvidDefect::kExpired);
}

TEST_F(ClientSessionsTest, AServerThatExpiresBetweenOfferAndAnswerIsRefused) {
  server_ = Context(kServerId, {.not_after = clock_.Now() + absl::Minutes(5)});
  Connect();
  bssl::UniquePtr<SSL> client = client_->NewClient();
  sessions_.Attach(client.get(), "server:443");   // still valid: offered
  bssl::UniquePtr<SSL> server = server_->NewServer();
  clock_.Advance(absl::Minutes(6));
  const TestHandshake h = RunHandshake(std::move(client), std::move(server));
  EXPECT_FALSE(h.client_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.client.get())), SvidDefect::kExpired);
}

TEST_F(ClientSessionsTest, AnAnonymousSessionIsNotResumedWhereAnSvidIsRequired) {
  client_ = *TlsContext::CreateAnonymousClient(root_.Bundles(), cache_, clock_, {});
  EXPECT_TRUE(Connect(false).Succeeded());
  ASSERT_EQ(sessions_.size(), 1u);
  const TestHandshake h = Connect(true);
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(PeerOf(h.server.get()), nullptr);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
}

TEST_F(ClientSessionsTest, AnAnonymousSessionIsResumedAnonymously) {
  client_ = *TlsContext::CreateAnonymousClient(root_.Bundles(), cache_, clock_, {});
  EXPECT_TRUE(Connect(false).Succeeded());
  const TestHandshake h = Connect(false);
  EXPECT_TRUE(Reused(h));
  EXPECT_EQ(PeerOf(h.server.get()), nullptr);
}

TEST_F(ClientSessionsTest, WithoutResumptionNoTicketIsSentOrKept) {
  server_ = Context(kServerId, {}, {.session_resumption = false});
  Connect();
  EXPECT_EQ(sessions_.size(), 0u);
  server_ = Context(kServerId);
  client_ = Context(kClientId, {}, {.session_resumption = false});
  Connect();
  EXPECT_EQ(sessions_.size(), 0u);
  EXPECT_FALSE(Reused(Connect()));
}

TEST_F(ClientSessionsTest, AnSslMayOutliveTheCacheItWasAttachedTo) {
  bssl::UniquePtr<SSL> client = client_->NewClient();
  {
    ClientSessionCache shortlived;
    shortlived.Attach(client.get(), "server:443");
  }
  const TestHandshake h = RunHandshake(std::move(client), server_->NewServer());
  ASSERT_TRUE(h.Succeeded());
  EXPECT_EQ(Send(h.server.get(), h.client.get(), "x"), "x");
}

}  // namespace
}  // namespace lanyard
