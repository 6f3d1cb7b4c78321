#include "identity/tls/tls_context.h"

#include <openssl/obj.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/client_sessions.h"
#include "identity/tls/loopback_handshake.h"

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

// A peer that is not Lanyard, so that it can show anything at all; it trusts everybody.
struct RawPeer {
  bssl::UniquePtr<SSL_CTX> ctx{SSL_CTX_new(TLS_with_buffers_method())};

  explicit RawPeer(const std::vector<std::string>& chain = {}, EVP_PKEY* key = nullptr) {
    SSL_CTX_set_custom_verify(ctx.get(), SSL_VERIFY_PEER, [](SSL*, uint8_t*) { return ssl_verify_ok; });
    if (chain.empty()) return;
    std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> owned;
    std::vector<CRYPTO_BUFFER*> buffers;
    for (const std::string& der : chain) {
      owned.emplace_back(CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
      buffers.push_back(owned.back().get());
    }
    EXPECT_EQ(SSL_CTX_set_chain_and_key(ctx.get(), buffers.data(), buffers.size(), key, nullptr), 1);
    const uint16_t ed25519[] = {SSL_SIGN_ED25519, SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256};
    SSL_CTX_set_verify_algorithm_prefs(ctx.get(), ed25519, std::size(ed25519));
  }
  bssl::UniquePtr<SSL> NewClient() const {
    bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
    SSL_set_connect_state(ssl.get());
    return ssl;
  }
  bssl::UniquePtr<SSL> NewServer() const {
    bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
    SSL_set_accept_state(ssl.get());
    return ssl;
  }
};

std::vector<std::string> DerOf(const FakeLeaf& leaf) {
  std::vector<std::string> ders;
  for (const Certificate& certificate : leaf.chain) ders.push_back(certificate.der());
  return ders;
}

TEST_F(TlsContextTest, BothSidesLearnWhoTheOtherIs) {
  const auto server = Server(), client = Client();
  const LoopbackHandshake h = RunHandshake(client->NewClient(), server->NewServer());
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
    const LoopbackHandshake h = RunHandshake(client->NewClient(), server->NewServer());
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
  const LoopbackHandshake h = RunHandshake(std::move(client_ssl), std::move(server_ssl));
  ASSERT_TRUE(h.Succeeded());
  EXPECT_EQ(PeerOf(h.server.get())->id.ToString(), kClientId);
}

struct Defect {
  std::string name;
  SvidDefect defect;
  std::string alert;   // what the refused peer reads
  FakeOptions options;
};

std::vector<Defect> Defects() {
  const absl::Time now = SystemClock().Now();
  const auto uris = [](std::vector<std::string> uris) {
    return FakeOptions{.mutate = [uris](X509* x) { SetUris(x, uris); }};
  };
  const auto extension = [](int nid, std::string value) {
    return FakeOptions{.mutate = [nid, value](X509* x) { SetExtension(x, nid, value); }};
  };
  return {
      {"expired", SvidDefect::kExpired, "SSLV3_ALERT_CERTIFICATE_EXPIRED",
       {.not_before = now - absl::Hours(2), .not_after = now - absl::Minutes(1)}},
      {"not yet valid", SvidDefect::kNotYetValid, "SSLV3_ALERT_CERTIFICATE_EXPIRED",
       {.not_before = now + absl::Minutes(10), .not_after = now + absl::Hours(1)}},
      {"no URI", SvidDefect::kNoSpiffeId, "SSLV3_ALERT_BAD_CERTIFICATE", uris({})},
      {"an https URI", SvidDefect::kNoSpiffeId, "SSLV3_ALERT_BAD_CERTIFICATE", uris({"https://example.org/web"})},
      {"two URIs", SvidDefect::kSeveralUriNames, "SSLV3_ALERT_BAD_CERTIFICATE",
       uris({"spiffe://example.org/web", "spiffe://example.org/db"})},
      {"CA as leaf", SvidDefect::kCaAsLeaf, "SSLV3_ALERT_BAD_CERTIFICATE",
       extension(NID_basic_constraints, "critical,CA:TRUE")},
      {"signs certificates", SvidDefect::kCaAsLeaf, "SSLV3_ALERT_BAD_CERTIFICATE",
       extension(NID_key_usage, "critical,digitalSignature,keyCertSign")},
      {"key usage not critical", SvidDefect::kBadKeyUsage, "SSLV3_ALERT_BAD_CERTIFICATE",
       extension(NID_key_usage, "digitalSignature")},
      {"no key usage", SvidDefect::kBadKeyUsage, "SSLV3_ALERT_BAD_CERTIFICATE", extension(NID_key_usage, "")},
      {"server only", SvidDefect::kBadKeyUsage, "SSLV3_ALERT_BAD_CERTIFICATE",
       extension(NID_ext_key_usage, "serverAuth")},
      {"foreign trust domain", SvidDefect::kUnknownTrustDomain, "TLSV1_ALERT_UNKNOWN_CA",
       uris({"spiffe://elsewhere.org/web"})},
      {"signed by a stranger", SvidDefect::kUntrusted, "TLSV1_ALERT_UNKNOWN_CA",
       {.signing_key = FakeEcKey(NID_X9_62_prime256v1)}},
  };
}

TEST_F(TlsContextTest, TheServerRefusesEachDefectWithItsAlert) {
  const auto server = Server();
  for (const Defect& defect : Defects()) {
    const FakeLeaf leaf = intermediate_.Leaf(kClientId, defect.options);
    const RawPeer client(DerOf(leaf), leaf.key.get());
    const LoopbackHandshake h = RunHandshake(client.NewClient(), server->NewServer());
    EXPECT_FALSE(h.server_done) << defect.name;
    EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), defect.defect)
        << defect.name << ": " << PeerVerificationError(h.server.get()) << " " << h.server_error;
    EXPECT_EQ(h.client_error, defect.alert) << defect.name;
    EXPECT_EQ(PeerOf(h.server.get()), nullptr) << defect.name;
  }
}

TEST_F(TlsContextTest, TheClientRefusesEachDefectWithItsAlert) {
  const auto client = Client();
  for (const Defect& defect : Defects()) {
    const FakeLeaf leaf = intermediate_.Leaf(kServerId, defect.options);
    const RawPeer server(DerOf(leaf), leaf.key.get());
    const LoopbackHandshake h = RunHandshake(client->NewClient(), server.NewServer());
    EXPECT_FALSE(h.client_done) << defect.name;
    EXPECT_EQ(DefectOf(PeerVerificationError(h.client.get())), defect.defect) << defect.name;
    EXPECT_EQ(h.server_error, defect.alert) << defect.name;
    EXPECT_EQ(PeerOf(h.client.get()), nullptr) << defect.name;
  }
}

TEST_F(TlsContextTest, TheServerRefusesGarbageAsCertificate) {
  const auto server = Server();
  const FakeLeaf leaf = intermediate_.Leaf(kClientId);
  // A readable leaf with an unreadable intermediate: BoringSSL lets that through to us.
  const RawPeer client({leaf.chain[0].der(), "not a certificate"}, leaf.key.get());
  const LoopbackHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
}

TEST_F(TlsContextTest, AnSvidWhoseKeyThePeerLacksIsRefused) {
  const auto server = Server();
  const FakeLeaf leaf = intermediate_.Leaf(kClientId);
  RawPeer client(DerOf(leaf), leaf.key.get());
  static std::shared_ptr<EVP_PKEY> other_key = FakeEcKey(NID_X9_62_prime256v1);
  static const SSL_PRIVATE_KEY_METHOD kWrongKey = {
      [](SSL*, uint8_t* out, size_t* out_size, size_t max_out, uint16_t, const uint8_t* in, size_t in_size) {
        bssl::ScopedEVP_MD_CTX md;
        *out_size = max_out;
        return EVP_DigestSignInit(md.get(), nullptr, EVP_sha256(), nullptr, other_key.get()) &&
                       EVP_DigestSign(md.get(), out, out_size, in, in_size)
                   ? ssl_private_key_success
                   : ssl_private_key_failure;
      },
      nullptr, nullptr};
  SSL_CTX_set_private_key_method(client.ctx.get(), &kWrongKey);
  const LoopbackHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(h.server_error, "BAD_SIGNATURE");
  EXPECT_EQ(PeerOf(h.server.get()), nullptr);
}

TEST_F(TlsContextTest, NoCertificateIsRefusedAndNamed) {
  const auto server = Server();
  const LoopbackHandshake h = RunHandshake(RawPeer().NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
  EXPECT_THAT(std::string(PeerVerificationError(h.server.get()).message()), testing::HasSubstr("no certificate"));
  EXPECT_EQ(h.client_error, "TLSV1_ALERT_CERTIFICATE_REQUIRED");
}

TEST_F(TlsContextTest, AnAnonymousClientIsLetInOnlyWhereAllowed) {
  const auto server = Server();
  const auto client = TlsContext::CreateAnonymousClient(root_.Bundles(), cache_, clock_, {});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->svid(), nullptr);
  const LoopbackHandshake allowed = RunHandshake((*client)->NewClient(), server->NewServer(false));
  ASSERT_TRUE(allowed.Succeeded()) << allowed.client_error << " / " << allowed.server_error;
  EXPECT_EQ(PeerOf(allowed.server.get()), nullptr);
  EXPECT_EQ(PeerOf(allowed.client.get())->id.ToString(), kServerId);
  EXPECT_FALSE(RunHandshake((*client)->NewClient(), server->NewServer()).server_done);
}

TEST_F(TlsContextTest, WhereAnSvidIsOptionalAWrongOneIsStillRefused) {
  const auto server = Server();
  const FakeLeaf leaf = FakeCa::Root("example.org").Leaf(kClientId);
  const RawPeer client(DerOf(leaf), leaf.key.get());
  const LoopbackHandshake h = RunHandshake(client.NewClient(), server->NewServer(false));
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kUntrusted);
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
  const LoopbackHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(h.server_error, "UNSUPPORTED_PROTOCOL");
  EXPECT_EQ(h.client_error, "TLSV1_ALERT_PROTOCOL_VERSION");
}

std::string AlpnOf(const SSL* ssl) {
  const uint8_t* protocol;
  unsigned size_bytes;
  SSL_get0_alpn_selected(ssl, &protocol, &size_bytes);
  return std::string(reinterpret_cast<const char*>(protocol), size_bytes);
}

TEST_F(TlsContextTest, TheServerPicksItsOwnFirstProtocol) {
  const auto server = Server({.alpn = {"b", "a"}}), client = Client({.alpn = {"a", "b"}});
  const LoopbackHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  ASSERT_TRUE(h.Succeeded());
  EXPECT_EQ(AlpnOf(h.client.get()), "b");
}

TEST_F(TlsContextTest, WithoutACommonProtocolTheHandshakeGoesOnUnlessOneIsRequired) {
  const auto client = Client({.alpn = {"a"}}), none = Client();
  const auto lenient = Server({.alpn = {"b"}}), strict = Server({.alpn = {"b"}, .alpn_required = true});
  EXPECT_TRUE(RunHandshake(client->NewClient(), lenient->NewServer()).Succeeded());
  EXPECT_TRUE(RunHandshake(none->NewClient(), lenient->NewServer()).Succeeded());
  for (const auto& refused : {client, none}) {
    const LoopbackHandshake h = RunHandshake(refused->NewClient(), strict->NewServer());
    EXPECT_FALSE(h.server_done);
    EXPECT_TRUE(absl::IsFailedPrecondition(PeerVerificationError(h.server.get())));
  }
}

TEST_F(TlsContextTest, AClientThatNeedsAProtocolRefusesAServerWithoutIt) {
  const auto client = Client({.alpn = {"a"}, .alpn_required = true});
  const auto server = Server();
  const LoopbackHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  EXPECT_FALSE(h.client_done);
  EXPECT_TRUE(absl::IsFailedPrecondition(PeerVerificationError(h.client.get())));
  EXPECT_EQ(h.server_error, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
}

TEST_F(TlsContextTest, AnOpenConnectionIsVerifiedAgainAgainstNewBundlesAndTime) {
  const auto server = Server(), client = Client();
  const LoopbackHandshake h = RunHandshake(client->NewClient(), server->NewServer());
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
