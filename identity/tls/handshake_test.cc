// What a handshake refuses, and what the refused side is told.
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
#include "identity/tls/handshake_testing.h"

namespace lanyard {
namespace {

constexpr absl::string_view kClientId = "spiffe://example.org/client";
constexpr absl::string_view kServerId = "spiffe://example.org/server";

class HandshakeTest : public testing::Test {
 protected:
  HandshakeTest()
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

TEST_F(HandshakeTest, TheServerRefusesEachDefectWithItsAlert) {
  const auto server = Server();
  for (const Defect& defect : Defects()) {
    const FakeLeaf leaf = intermediate_.Leaf(kClientId, defect.options);
    const RawPeer client(DerOf(leaf), leaf.key.get());
    const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer());
    EXPECT_FALSE(h.server_done) << defect.name;
    EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), defect.defect)
        << defect.name << ": " << PeerVerificationError(h.server.get()) << " " << h.server_error;
    EXPECT_EQ(h.client_error, defect.alert) << defect.name;
    EXPECT_EQ(PeerOf(h.server.get()), nullptr) << defect.name;
  }
}

TEST_F(HandshakeTest, TheClientRefusesEachDefectWithItsAlert) {
  const auto client = Client();
  for (const Defect& defect : Defects()) {
    const FakeLeaf leaf = intermediate_.Leaf(kServerId, defect.options);
    const RawPeer server(DerOf(leaf), leaf.key.get());
    const TestHandshake h = RunHandshake(client->NewClient(), server.NewServer());
    EXPECT_FALSE(h.client_done) << defect.name;
    EXPECT_EQ(DefectOf(PeerVerificationError(h.client.get())), defect.defect) << defect.name;
    EXPECT_EQ(h.server_error, defect.alert) << defect.name;
    EXPECT_EQ(PeerOf(h.client.get()), nullptr) << defect.name;
  }
}

TEST_F(HandshakeTest, TheServerRefusesGarbageAsCertificate) {
  const auto server = Server();
  const FakeLeaf leaf = intermediate_.Leaf(kClientId);
  // A readable leaf with an unreadable intermediate: BoringSSL lets that through to us.
  const RawPeer client({leaf.chain[0].der(), "not a certificate"}, leaf.key.get());
  const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
}

// What anybody may send: it must cost nothing before it is refused.
TEST_F(HandshakeTest, ACertificateThatWouldBeDearToReadIsRefusedUnread) {
  const auto server = Server();
  const auto key = FakeEcKey(NID_X9_62_prime256v1);
  const std::string der = intermediate_.LeafDer(kClientId, {.key = key, .mutate = [](X509* x) {
    // cRLDistributionPoints of one that is relative to its issuer's name.
    AddRawExtension(x, "2.5.29.31", false, absl::string_view("\x30\x06\x30\x04\xa0\x02\xa1\x00", 8));
  }});
  const RawPeer client({der}, key.get());
  const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
  EXPECT_THAT(std::string(PeerVerificationError(h.server.get()).message()),
              testing::HasSubstr("nameRelativeToCRLIssuer"));
  EXPECT_EQ(h.client_error, "SSLV3_ALERT_BAD_CERTIFICATE");
}

TEST_F(HandshakeTest, MoreCertificatesThan24KibAreRefusedUnread) {
  const auto server = Server();
  const auto padded = [](X509* x) { AddRawExtension(x, "1.2.3.4", false, std::string(11 << 10, 'x')); };
  const FakeLeaf leaf = intermediate_.Leaf(kClientId, {.mutate = padded});
  const std::string other = root_.LeafDer(kServerId, {.mutate = padded});
  const auto sending = [&](std::vector<std::string> ders) {
    const RawPeer client(ders, leaf.key.get());
    return RunHandshake(client.NewClient(), server->NewServer());
  };
  EXPECT_TRUE(sending({leaf.chain[0].der(), leaf.chain[1].der(), other}).server_done);
  const TestHandshake h = sending({leaf.chain[0].der(), leaf.chain[1].der(), other, other});
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(h.server_error, "EXCESSIVE_MESSAGE_SIZE");
}

TEST_F(HandshakeTest, AnSvidWhoseKeyThePeerLacksIsRefused) {
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
  const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(h.server_error, "BAD_SIGNATURE");
  EXPECT_EQ(PeerOf(h.server.get()), nullptr);
}

TEST_F(HandshakeTest, NoCertificateIsRefusedAndNamed) {
  const auto server = Server();
  const TestHandshake h = RunHandshake(RawPeer().NewClient(), server->NewServer());
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kMalformed);
  EXPECT_THAT(std::string(PeerVerificationError(h.server.get()).message()), testing::HasSubstr("no certificate"));
  EXPECT_EQ(h.client_error, "TLSV1_ALERT_CERTIFICATE_REQUIRED");
}

TEST_F(HandshakeTest, WhereAnSvidIsOptionalAWrongOneIsStillRefused) {
  const auto server = Server();
  const FakeLeaf leaf = FakeCa::Root("example.org").Leaf(kClientId);
  const RawPeer client(DerOf(leaf), leaf.key.get());
  const TestHandshake h = RunHandshake(client.NewClient(), server->NewServer(false));
  EXPECT_FALSE(h.server_done);
  EXPECT_EQ(DefectOf(PeerVerificationError(h.server.get())), SvidDefect::kUntrusted);
}

std::string AlpnOf(const SSL* ssl) {
  const uint8_t* protocol;
  unsigned size_bytes;
  SSL_get0_alpn_selected(ssl, &protocol, &size_bytes);
  return std::string(reinterpret_cast<const char*>(protocol), size_bytes);
}

TEST_F(HandshakeTest, TheServerPicksItsOwnFirstProtocol) {
  const auto server = Server({.alpn = {"b", "a"}}), client = Client({.alpn = {"a", "b"}});
  const TestHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  ASSERT_TRUE(h.Succeeded());
  EXPECT_EQ(AlpnOf(h.client.get()), "b");
}

TEST_F(HandshakeTest, WithoutACommonProtocolTheHandshakeGoesOnUnlessOneIsRequired) {
  const auto client = Client({.alpn = {"a"}}), none = Client();
  const auto lenient = Server({.alpn = {"b"}}), strict = Server({.alpn = {"b"}, .alpn_required = true});
  EXPECT_TRUE(RunHandshake(client->NewClient(), lenient->NewServer()).Succeeded());
  EXPECT_TRUE(RunHandshake(none->NewClient(), lenient->NewServer()).Succeeded());
  for (const auto& refused : {client, none}) {
    const TestHandshake h = RunHandshake(refused->NewClient(), strict->NewServer());
    EXPECT_FALSE(h.server_done);
    EXPECT_TRUE(absl::IsFailedPrecondition(PeerVerificationError(h.server.get())));
  }
}

TEST_F(HandshakeTest, AClientThatNeedsAProtocolRefusesAServerWithoutIt) {
  const auto client = Client({.alpn = {"a"}, .alpn_required = true});
  const auto server = Server();
  const TestHandshake h = RunHandshake(client->NewClient(), server->NewServer());
  EXPECT_FALSE(h.client_done);
  EXPECT_TRUE(absl::IsFailedPrecondition(PeerVerificationError(h.client.get())));
  EXPECT_EQ(h.server_error, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
}

}  // namespace
}  // namespace lanyard
