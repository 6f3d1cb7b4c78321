#include "identity/spiffe/certificate.h"

#include <openssl/asn1.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pool.h>
#include <openssl/x509.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

constexpr char kId[] = "spiffe://example.org/web";

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

class CertificateTest : public testing::Test {
 protected:
  std::string Minted(std::function<void(X509*)> mutate) const { return root_.LeafDer(kId, {.mutate = mutate}); }
  // Why a certificate so changed is refused; "" if it is not.
  std::string WhyNot(std::function<void(X509*)> mutate) const {
    const auto parsed = Certificate::Parse(Bytes(Minted(std::move(mutate))));
    return std::string(parsed.status().message());
  }
  const FakeCa root_ = FakeCa::Root("example.org");
  const FakeLeaf leaf_ = root_.Leaf(kId);
};

TEST_F(CertificateTest, HoldsTheFacts) {
  const absl::Time from = absl::FromUnixSeconds(1767225600), to = absl::FromUnixSeconds(2767225600);
  const FakeLeaf leaf = root_.Leaf(kId, {.not_before = from, .not_after = to, .mutate = [](X509* x) {
    SetSerial(x, std::string("\x00\x00\x01\xab", 4));
    SetExtension(x, NID_subject_alt_name, std::string("critical,DNS:a.example,URI:") + kId + ",DNS:b.example");
  }});
  const Certificate& certificate = leaf.chain[0];
  EXPECT_EQ(certificate.not_before(), from);
  EXPECT_EQ(certificate.not_after(), to);
  EXPECT_EQ(certificate.serial(), "01ab");
  EXPECT_EQ(certificate.uri_names(), std::vector<std::string>{kId});
  EXPECT_EQ(certificate.dns_names(), (std::vector<std::string>{"a.example", "b.example"}));
  EXPECT_EQ(certificate.public_key_der(), leaf.Key().public_key_der());
  EXPECT_TRUE(certificate.subject_empty());
  EXPECT_FALSE(certificate.self_issued());
  EXPECT_FALSE(certificate.is_ca());
  EXPECT_EQ(certificate.authority_key_id(), root_.certificate().subject_key_id());
  EXPECT_EQ(certificate.fingerprint().size(), 32u);
  EXPECT_EQ(CRYPTO_BUFFER_len(certificate.buffer()), certificate.der().size());
}

TEST_F(CertificateTest, ReadsKeyUsages) {
  EXPECT_TRUE(root_.certificate().is_ca());
  EXPECT_TRUE(root_.certificate().key_usage_cert_sign());
  EXPECT_TRUE(root_.certificate().key_usage_crl_sign());
  EXPECT_FALSE(root_.certificate().key_usage_digital_signature());
  EXPECT_TRUE(root_.certificate().self_issued());
  EXPECT_EQ(root_.certificate().path_length(), -1);
  EXPECT_TRUE(leaf_.chain[0].key_usage_digital_signature());
  EXPECT_TRUE(leaf_.chain[0].key_usage_critical());
  EXPECT_TRUE(leaf_.chain[0].eku_server_auth());
  EXPECT_TRUE(leaf_.chain[0].eku_client_auth());
  const FakeCa limited = root_.Intermediate(
      {.mutate = [](X509* x) { SetExtension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:3"); }});
  EXPECT_EQ(limited.certificate().path_length(), 3);
}

TEST_F(CertificateTest, NamesWithNulAndForeignBytesAreKeptAsWritten) {
  const std::string uri("spiffe://example.org/a\0b\xff", 25);
  const auto parsed = Certificate::Parse(Bytes(Minted([&](X509* x) { SetUris(x, {uri}); })));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->uri_names(), std::vector<std::string>{uri});
}

TEST_F(CertificateTest, WeakSignatureIsSeen) {
  EXPECT_TRUE(leaf_.chain[0].has_strong_signature());
  EXPECT_FALSE(root_.Leaf(kId, {.digest = EVP_sha1()}).chain[0].has_strong_signature());
}

TEST_F(CertificateTest, TrailingByteIsRefused) {
  const auto parsed = Certificate::Parse(Bytes(leaf_.chain[0].der() + "x"));
  EXPECT_EQ(parsed.status().message(), "the certificate is malformed: 1 bytes follow it");
}

TEST_F(CertificateTest, TruncatedAnywhereIsRefused) {
  const std::string& der = leaf_.chain[0].der();
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(Certificate::Parse(Bytes(der.substr(0, size))).status())) << size;
  }
}

TEST_F(CertificateTest, EveryFlippedByteParsesOrIsRefusedCleanly) {
  const std::string& der = leaf_.chain[0].der();
  for (size_t i = 0; i < der.size(); ++i) {
    for (int bit : {0x01, 0x80}) {
      std::string changed = der;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      const auto parsed = Certificate::Parse(Bytes(changed));
      if (parsed.ok()) {
        EXPECT_EQ(parsed->der(), changed);
      }
    }
  }
}

TEST_F(CertificateTest, NegativeSerialIsRefused) {
  EXPECT_NE(WhyNot([](X509* x) { SetSerial(x, "\x05", true); }).find("negative"), std::string::npos);
}

TEST_F(CertificateTest, SerialOf20BytesIsTakenAnd21Refused) {
  EXPECT_EQ(WhyNot([](X509* x) { SetSerial(x, std::string(20, '\x7f')); }), "");
  EXPECT_NE(WhyNot([](X509* x) { SetSerial(x, std::string(21, '\x7f')); }).find("21 bytes"), std::string::npos);
  EXPECT_NE(WhyNot([](X509* x) { SetSerial(x, std::string(5000, '\x7f')); }), "");
}

TEST_F(CertificateTest, SerialZeroHasAName) {
  const FakeLeaf leaf = root_.Leaf(kId, {.mutate = [](X509* x) { SetSerial(x, std::string("\0", 1)); }});
  EXPECT_EQ(leaf.chain[0].serial(), "00");
}

TEST_F(CertificateTest, RepeatedExtensionIsRefused) {
  // Repeated whatever it is: known, of the same content, or of nobody's.
  EXPECT_NE(WhyNot([](X509* x) { AddRawExtension(x, "2.5.29.15", true, "\x03\x02\x07\x80"); }).find("twice"),
            std::string::npos);
  EXPECT_NE(WhyNot([](X509* x) {
              AddRawExtension(x, "1.2.3.4", false, "a");
              AddRawExtension(x, "1.2.3.4", false, "b");
            }).find("1.2.3.4 twice"),
            std::string::npos);
}

TEST_F(CertificateTest, UnreadableExtensionIsRefused) {
  for (int nid : {NID_basic_constraints, NID_key_usage, NID_ext_key_usage, NID_subject_alt_name,
                  NID_subject_key_identifier, NID_authority_key_identifier}) {
    const std::string oid = [nid] {
      char text[64];
      OBJ_obj2txt(text, sizeof(text), OBJ_nid2obj(nid), 1);
      return std::string(text);
    }();
    EXPECT_NE(WhyNot([&](X509* x) {
                SetExtension(x, nid, "");
                AddRawExtension(x, oid, false, "garbage");
              }),
              "")
        << oid;
  }
}

TEST_F(CertificateTest, BytesAfterAnExtensionsValueAreRefused) {
  EXPECT_NE(WhyNot([](X509* x) {
              SetExtension(x, NID_key_usage, "");
              AddRawExtension(x, "2.5.29.15", true, std::string("\x03\x02\x07\x80\x00", 5));
            }),
            "");
}

TEST_F(CertificateTest, TooManyExtensionsAreRefused) {
  const auto with = [this](int count) {
    return WhyNot([count](X509* x) {
      for (int i = 0; i < count; ++i) AddRawExtension(x, "1.2.3." + std::to_string(i), false, "x");
    });
  };
  EXPECT_EQ(with(30), "");
  EXPECT_NE(with(100).find("extensions: at most 64"), std::string::npos);
}

TEST_F(CertificateTest, LargerThanTheLimitIsRefused) {
  EXPECT_EQ(WhyNot([](X509* x) { AddRawExtension(x, "1.2.3.4", false, std::string(15000, 'x')); }), "");
  EXPECT_NE(WhyNot([](X509* x) { AddRawExtension(x, "1.2.3.4", false, std::string(16400, 'x')); })
                .find("more than 16384"),
            std::string::npos);
}

TEST_F(CertificateTest, OtherVersionsAreRefused) {
  EXPECT_NE(WhyNot([](X509* x) { X509_set_version(x, 0); }), "");
  EXPECT_NE(WhyNot([](X509* x) { X509_set_version(x, 1); }), "");
}

TEST_F(CertificateTest, TimeThatIsNoneIsRefused) {
  const auto with = [this](int type, const std::string& text) {
    return WhyNot([&](X509* x) {
      bssl::UniquePtr<ASN1_TIME> time(ASN1_STRING_type_new(type));
      ASN1_STRING_set(time.get(), text.data(), static_cast<int>(text.size()));
      X509_set1_notAfter(x, time.get());
    });
  };
  EXPECT_EQ(with(V_ASN1_GENERALIZEDTIME, "99991231235959Z"), "");
  EXPECT_NE(with(V_ASN1_UTCTIME, "269999999999Z"), "");
  EXPECT_NE(with(V_ASN1_GENERALIZEDTIME, "20260230000000Z"), "");
}

TEST_F(CertificateTest, ConcatenatedDerSplitsWithoutPadding) {
  const std::string both = leaf_.chain[0].der() + root_.certificate().der();
  const auto parsed = Certificate::ParseConcatenatedDer(Bytes(both));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, (std::vector<Certificate>{leaf_.chain[0], root_.certificate()}));
  EXPECT_FALSE(Certificate::ParseConcatenatedDer(Bytes(leaf_.chain[0].der() + "\n" + both)).ok());
  EXPECT_FALSE(Certificate::ParseConcatenatedDer(Bytes(both.substr(0, both.size() - 1))).ok());
  EXPECT_TRUE(Certificate::ParseConcatenatedDer({})->empty());
  std::string many;
  for (size_t i = 0; i < Certificate::kMaxChainLength; ++i) many += leaf_.chain[0].der();
  EXPECT_EQ(Certificate::ParseConcatenatedDer(Bytes(many))->size(), Certificate::kMaxChainLength);
  EXPECT_FALSE(Certificate::ParseConcatenatedDer(Bytes(many + leaf_.chain[0].der())).ok());
}

TEST_F(CertificateTest, PemRoundTripsAmongOtherBlocks) {
  const std::string pem = "a comment\n" + leaf_.KeyPem() + leaf_.chain[0].ToPem() + "\n\n" +
                          root_.certificate().ToPem() + "the end";
  const auto parsed = Certificate::ParsePem(pem);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, (std::vector<Certificate>{leaf_.chain[0], root_.certificate()}));
}

TEST_F(CertificateTest, PemWithoutACertificateOrWithABrokenOneIsRefused) {
  const std::string pem = leaf_.chain[0].ToPem();
  std::string broken = pem;
  broken[60] = '!';
  const std::string garbage =
      "-----BEGIN CERTIFICATE-----\n" + absl::Base64Escape("garbage") + "\n-----END CERTIFICATE-----\n";
  for (const std::string& text : {std::string(), std::string("text"), leaf_.KeyPem(), broken, pem + broken,
                                  pem.substr(0, pem.size() - 30), garbage, pem + garbage}) {
    EXPECT_FALSE(Certificate::ParsePem(text).ok()) << text;
  }
}

}  // namespace
}  // namespace lanyard
