// Certificates that must be refused, each test named for its defect.
#include <openssl/digest.h>
#include <openssl/nid.h>
#include <openssl/x509.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

constexpr char kId[] = "spiffe://example.org/web";

using Mutator = std::function<void(X509*)>;

class HostileSvid : public testing::Test {
 protected:
  // How a chain fares against root_'s bundle.
  SvidDefect Defect(const std::vector<Certificate>& chain) const {
    return DefectOf(VerifySvid(chain, root_.Bundles(), now_).status());
  }
  SvidDefect LeafDefect(FakeOptions options) const {
    return Defect(intermediate_.Leaf(kId, std::move(options)).chain);
  }
  SvidDefect LeafDefect(Mutator mutate) const { return LeafDefect(FakeOptions{.mutate = std::move(mutate)}); }
  SvidDefect UriDefect(const std::string& uri) const {
    return LeafDefect([uri](X509* x) { SetUris(x, {uri}); });
  }
  SvidDefect IntermediateDefect(FakeOptions options) const {
    return Defect(root_.Intermediate(std::move(options)).Leaf(kId).chain);
  }
  SvidDefect IntermediateDefect(Mutator mutate) const {
    return IntermediateDefect(FakeOptions{.mutate = std::move(mutate)});
  }
  SvidDefect RootDefect(FakeOptions options) const {
    const FakeCa root = FakeCa::Root("example.org", std::move(options));
    return DefectOf(VerifySvid(root.Intermediate().Leaf(kId).chain, root.Bundles(), now_).status());
  }
  SvidDefect RootDefect(Mutator mutate) const { return RootDefect(FakeOptions{.mutate = std::move(mutate)}); }

  static Mutator Extension(int nid, std::string value) {
    return [nid, value](X509* x) { SetExtension(x, nid, value); };
  }

  const absl::Time now_ = SystemClock().Now();
  const FakeCa root_ = FakeCa::Root("example.org");
  const FakeCa intermediate_ = root_.Intermediate();
};

TEST_F(HostileSvid, ControlIsAccepted) { EXPECT_EQ(LeafDefect(FakeOptions{}), SvidDefect::kNone); }

// Framing.
TEST_F(HostileSvid, EmptyChain) { EXPECT_EQ(Defect({}), SvidDefect::kMalformed); }
TEST_F(HostileSvid, ChainOf65Certificates) {
  std::vector<Certificate> chain = intermediate_.Leaf(kId).chain;
  chain.resize(65, root_.certificate());
  EXPECT_EQ(Defect(chain), SvidDefect::kMalformed);
}

// Time.
TEST_F(HostileSvid, ExpiredLeaf) {
  EXPECT_EQ(LeafDefect(FakeOptions{.not_after = now_ - absl::Seconds(1)}), SvidDefect::kExpired);
}
TEST_F(HostileSvid, LeafNotYetValid) {
  EXPECT_EQ(LeafDefect(FakeOptions{.not_before = now_ + absl::Seconds(2)}), SvidDefect::kNotYetValid);
}
TEST_F(HostileSvid, LeafThatEndsBeforeItBegins) {
  EXPECT_NE(LeafDefect(FakeOptions{.not_before = now_ + absl::Hours(1), .not_after = now_ - absl::Hours(1)}),
            SvidDefect::kNone);
}
TEST_F(HostileSvid, ExpiredIntermediate) {
  EXPECT_EQ(IntermediateDefect(FakeOptions{.not_after = now_ - absl::Seconds(1)}), SvidDefect::kExpired);
}
TEST_F(HostileSvid, IntermediateNotYetValid) {
  EXPECT_EQ(IntermediateDefect(FakeOptions{.not_before = now_ + absl::Seconds(2)}), SvidDefect::kNotYetValid);
}
TEST_F(HostileSvid, ExpiredRoot) {
  EXPECT_EQ(RootDefect(FakeOptions{.not_after = now_ - absl::Seconds(1)}), SvidDefect::kExpired);
}
TEST_F(HostileSvid, RootNotYetValid) {
  EXPECT_EQ(RootDefect(FakeOptions{.not_before = now_ + absl::Seconds(2)}), SvidDefect::kNotYetValid);
}
TEST_F(HostileSvid, ExpiredIntermediateAsAnchor) {
  const FakeCa anchor = root_.Intermediate({.not_after = now_ - absl::Seconds(1)});
  EXPECT_EQ(DefectOf(VerifySvid(anchor.Leaf(kId).chain, anchor.Bundles(), now_).status()), SvidDefect::kExpired);
}

// A leaf that is a signer.
TEST_F(HostileSvid, CaAsLeaf) {
  EXPECT_EQ(LeafDefect(Extension(NID_basic_constraints, "critical,CA:TRUE")), SvidDefect::kCaAsLeaf);
}
TEST_F(HostileSvid, ChainWithTheCaFirst) {
  const FakeLeaf leaf = intermediate_.Leaf(kId);
  EXPECT_EQ(Defect({leaf.chain[1], leaf.chain[0]}), SvidDefect::kCaAsLeaf);
}
TEST_F(HostileSvid, RootItselfAsLeaf) { EXPECT_EQ(Defect({root_.certificate()}), SvidDefect::kCaAsLeaf); }
TEST_F(HostileSvid, KeyCertSignLeaf) {
  EXPECT_EQ(LeafDefect(Extension(NID_key_usage, "critical,digitalSignature,keyCertSign")), SvidDefect::kCaAsLeaf);
}
TEST_F(HostileSvid, CrlSignLeaf) {
  EXPECT_EQ(LeafDefect(Extension(NID_key_usage, "critical,digitalSignature,cRLSign")), SvidDefect::kCaAsLeaf);
}

// Names.
TEST_F(HostileSvid, TwoUris) {
  EXPECT_EQ(LeafDefect([](X509* x) { SetUris(x, {kId, "spiffe://example.org/db"}); }), SvidDefect::kSeveralUriNames);
}
TEST_F(HostileSvid, TheSameUriTwice) {
  EXPECT_EQ(LeafDefect([](X509* x) { SetUris(x, {kId, kId}); }), SvidDefect::kSeveralUriNames);
}
TEST_F(HostileSvid, SpiffeIdBesideAnHttpUri) {
  EXPECT_EQ(LeafDefect([](X509* x) { SetUris(x, {kId, "https://example.org/"}); }), SvidDefect::kSeveralUriNames);
}
TEST_F(HostileSvid, NoSubjectAltName) {
  EXPECT_EQ(LeafDefect([](X509* x) { SetUris(x, {}); }), SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, DnsNameOnly) {
  EXPECT_EQ(LeafDefect(Extension(NID_subject_alt_name, "critical,DNS:example.org")), SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, SpiffeIdAsADnsName) {
  EXPECT_EQ(LeafDefect(Extension(NID_subject_alt_name, std::string("critical,DNS:") + kId)), SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, SpiffeIdInTheCommonNameOnly) {
  EXPECT_EQ(LeafDefect([](X509* x) {
              SetSubject(x, kId);
              SetUris(x, {});
            }),
            SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, HttpUri) { EXPECT_EQ(UriDefect("http://example.org/web"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, EmptyUri) { EXPECT_EQ(UriDefect(""), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriWithoutPath) { EXPECT_EQ(UriDefect("spiffe://example.org"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriWithRootPath) { EXPECT_EQ(UriDefect("spiffe://example.org/"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriWithQuery) { EXPECT_EQ(UriDefect("spiffe://example.org/web?a"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriInUpperCase) { EXPECT_EQ(UriDefect("SPIFFE://EXAMPLE.ORG/web"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriWithPort) { EXPECT_EQ(UriDefect("spiffe://example.org:1/web"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriWithDotSegments) {
  EXPECT_EQ(UriDefect("spiffe://example.org/db/../web"), SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, UriPercentEncoded) { EXPECT_EQ(UriDefect("spiffe://example.org/w%65b"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, NulInUri) {
  EXPECT_EQ(UriDefect(std::string("spiffe://example.org/web\0", 25)), SvidDefect::kNoSpiffeId);
  EXPECT_EQ(UriDefect(std::string("spiffe://example.org\0.evil.com/web", 34)), SvidDefect::kNoSpiffeId);
}
TEST_F(HostileSvid, UriNotUtf8) { EXPECT_EQ(UriDefect("spiffe://example.org/w\xff\xfe"), SvidDefect::kNoSpiffeId); }
TEST_F(HostileSvid, UriOf10000Bytes) {
  EXPECT_EQ(UriDefect("spiffe://example.org/" + std::string(9979, 'x')), SvidDefect::kNoSpiffeId);
}

// Usage.
TEST_F(HostileSvid, KeyUsageAbsent) { EXPECT_EQ(LeafDefect(Extension(NID_key_usage, "")), SvidDefect::kBadKeyUsage); }
TEST_F(HostileSvid, KeyUsageNotCritical) {
  EXPECT_EQ(LeafDefect(Extension(NID_key_usage, "digitalSignature")), SvidDefect::kBadKeyUsage);
}
TEST_F(HostileSvid, KeyUsageWithoutDigitalSignature) {
  EXPECT_EQ(LeafDefect(Extension(NID_key_usage, "critical,keyAgreement")), SvidDefect::kBadKeyUsage);
}
TEST_F(HostileSvid, ServerAuthOnly) {
  EXPECT_EQ(LeafDefect(Extension(NID_ext_key_usage, "serverAuth")), SvidDefect::kBadKeyUsage);
}
TEST_F(HostileSvid, ClientAuthOnly) {
  EXPECT_EQ(LeafDefect(Extension(NID_ext_key_usage, "clientAuth")), SvidDefect::kBadKeyUsage);
}
TEST_F(HostileSvid, PurposeOfAnotherKind) {
  EXPECT_EQ(LeafDefect(Extension(NID_ext_key_usage, "codeSigning")), SvidDefect::kBadKeyUsage);
}

// Strength.
TEST_F(HostileSvid, Rsa1024Leaf) { EXPECT_EQ(LeafDefect(FakeOptions{.key = FakeRsaKey(1024)}), SvidDefect::kWeakKey); }
TEST_F(HostileSvid, P224Leaf) {
  EXPECT_EQ(LeafDefect(FakeOptions{.key = FakeEcKey(NID_secp224r1)}), SvidDefect::kWeakKey);
}
TEST_F(HostileSvid, Rsa1024Intermediate) {
  EXPECT_EQ(IntermediateDefect(FakeOptions{.key = FakeRsaKey(1024)}), SvidDefect::kWeakKey);
}
TEST_F(HostileSvid, Rsa1024Root) {
  EXPECT_EQ(RootDefect(FakeOptions{.key = FakeRsaKey(1024)}), SvidDefect::kWeakKey);
}
TEST_F(HostileSvid, Sha1LeafSignature) {
  EXPECT_EQ(LeafDefect(FakeOptions{.digest = EVP_sha1()}), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, Sha1IntermediateSignature) {
  EXPECT_EQ(IntermediateDefect(FakeOptions{.digest = EVP_sha1()}), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, Md5LeafSignature) {
  const FakeCa root = FakeCa::Root("example.org", {.key = FakeRsaKey(2048)});
  const FakeLeaf leaf = root.Leaf(kId, {.digest = EVP_md5()});
  EXPECT_EQ(DefectOf(VerifySvid(leaf.chain, root.Bundles(), now_).status()), SvidDefect::kUntrusted);
}

// Authority.
TEST_F(HostileSvid, IntermediateNotACa) {
  EXPECT_EQ(IntermediateDefect(Extension(NID_basic_constraints, "critical,CA:FALSE")), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, IntermediateWithoutBasicConstraints) {
  EXPECT_EQ(IntermediateDefect(Extension(NID_basic_constraints, "")), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, IntermediateWithoutKeyCertSign) {
  EXPECT_EQ(IntermediateDefect(Extension(NID_key_usage, "critical,cRLSign")), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, LeafThatSignsAnotherLeaf) {
  const FakeCa leaf_as_ca = intermediate_.Intermediate({.mutate = [](X509* x) {
    SetExtension(x, NID_basic_constraints, "critical,CA:FALSE");
    SetExtension(x, NID_key_usage, "critical,digitalSignature");
    SetUris(x, {"spiffe://example.org/mallory"});
  }});
  EXPECT_EQ(Defect(leaf_as_ca.Leaf(kId).chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, IntermediateNamedAsAWorkload) {
  EXPECT_EQ(IntermediateDefect([](X509* x) { SetUris(x, {"spiffe://example.org/ca"}); }), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, PathLengthOfIntermediateExceeded) {
  const FakeCa limited = root_.Intermediate({.mutate = Extension(NID_basic_constraints, "critical,CA:TRUE,pathlen:0")});
  EXPECT_EQ(Defect(limited.Intermediate().Leaf(kId).chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, PathLengthOfRootExceeded) {
  EXPECT_EQ(RootDefect(Extension(NID_basic_constraints, "critical,CA:TRUE,pathlen:0")), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, PathOfElevenCertificates) {
  FakeCa ca = root_;
  for (int i = 0; i < kMaxPathLength - 1; ++i) ca = ca.Intermediate();
  EXPECT_EQ(Defect(ca.Leaf(kId).chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, NameConstraintNotPermitting) {
  EXPECT_EQ(IntermediateDefect(Extension(NID_name_constraints, "critical,permitted;URI:other.org")),
            SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, NameConstraintExcluding) {
  EXPECT_EQ(IntermediateDefect(Extension(NID_name_constraints, "critical,excluded;URI:example.org")),
            SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, NameConstraintOfTheRootViolated) {
  EXPECT_EQ(RootDefect(Extension(NID_name_constraints, "critical,permitted;URI:other.org")), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, UnknownCriticalExtensionOnLeaf) {
  EXPECT_EQ(LeafDefect([](X509* x) { AddRawExtension(x, "1.2.3.4", true, "x"); }), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, UnknownCriticalExtensionOnIntermediate) {
  EXPECT_EQ(IntermediateDefect([](X509* x) { AddRawExtension(x, "1.2.3.4", true, "x"); }), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, UnknownCriticalExtensionOnRoot) {
  EXPECT_EQ(RootDefect([](X509* x) { AddRawExtension(x, "1.2.3.4", true, "x"); }), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, CriticalPolicyConstraintsNotProcessed) {
  // requireExplicitPolicy:0 below which the leaf has no policy; inhibitAnyPolicy:0; a mapping of 1.2.3 to 1.2.4.
  const std::pair<const char*, absl::string_view> rules[] = {
      {"2.5.29.36", absl::string_view("\x30\x03\x80\x01\x00", 5)},
      {"2.5.29.54", absl::string_view("\x02\x01\x00", 3)},
      {"2.5.29.33", "\x30\x0a\x30\x08\x06\x02\x2a\x03\x06\x02\x2a\x04"}};
  for (const auto& [oid, value] : rules) {
    const auto with = [oid = oid, value = value](bool critical) -> Mutator {
      return [=](X509* x) { AddRawExtension(x, oid, critical, value); };
    };
    EXPECT_EQ(IntermediateDefect(with(true)), SvidDefect::kUntrusted) << oid;
    EXPECT_EQ(RootDefect(with(true)), SvidDefect::kUntrusted) << oid;
    EXPECT_EQ(LeafDefect(with(true)), SvidDefect::kUntrusted) << oid;
    EXPECT_EQ(IntermediateDefect(with(false)), SvidDefect::kNone) << oid;
  }
}
TEST_F(HostileSvid, TwinsOfWhichNoneLeadsToTheBundle) {
  const FakeCa stranger = FakeCa::Root("example.org");
  const FakeOptions twin = {.key = FakeEcKey(NID_X9_62_prime256v1), .mutate = [](X509* x) { SetSubject(x, "I"); }};
  std::vector<Certificate> chain = stranger.Intermediate(twin).Leaf(kId).chain;
  for (int i = 0; i < 20; ++i) chain.push_back(stranger.Intermediate(twin).certificate());
  EXPECT_EQ(Defect(chain), SvidDefect::kUntrusted);
  // Names that issue each other in every order: as many ways as there are permutations.
  const FakeOptions ring = {.mutate = [](X509* x) {
    SetSubject(x, "ring");
    X509_set_issuer_name(x, X509_get_subject_name(x));
    SetExtension(x, NID_subject_key_identifier, "");
    SetExtension(x, NID_authority_key_identifier, "");
  }};
  chain = {intermediate_.Leaf(kId, {.mutate = [](X509* x) {
    SetSubject(x, "ring");
    X509_set_issuer_name(x, X509_get_subject_name(x));
    SetExtension(x, NID_authority_key_identifier, "");
  }}).chain[0]};
  for (int i = 0; i < 30; ++i) chain.push_back(stranger.Intermediate(ring).certificate());
  EXPECT_EQ(Defect(chain), SvidDefect::kUntrusted);
}

// Trust.
TEST_F(HostileSvid, UnknownTrustDomain) {
  const FakeCa other = FakeCa::Root("other.org");
  EXPECT_EQ(Defect(other.Leaf("spiffe://other.org/web").chain), SvidDefect::kUnknownTrustDomain);
}
TEST_F(HostileSvid, EmptyBundle) {
  BundleSet bundles;
  bundles.Set(*X509Bundle::Create(*TrustDomain::Parse("example.org"), {}));
  EXPECT_EQ(DefectOf(VerifySvid(intermediate_.Leaf(kId).chain, bundles, now_).status()),
            SvidDefect::kUnknownTrustDomain);
}
TEST_F(HostileSvid, ForeignAuthorityClaimingOurTrustDomain) {
  EXPECT_EQ(Defect(FakeCa::Root("example.org").Intermediate().Leaf(kId).chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, AuthorityOfOneTrustDomainSigningForAnother) {
  const FakeCa other = FakeCa::Root("other.org");
  BundleSet bundles = root_.Bundles();
  bundles.Set(other.Bundle());
  EXPECT_EQ(DefectOf(VerifySvid(other.Intermediate().Leaf(kId).chain, bundles, now_).status()),
            SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, ForeignRootSentAlong) {
  const FakeCa foreign = FakeCa::Root("example.org");
  FakeLeaf leaf = foreign.Leaf(kId);
  leaf.chain.push_back(foreign.certificate());
  EXPECT_EQ(Defect(leaf.chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, MissingIntermediate) {
  EXPECT_EQ(Defect({intermediate_.Leaf(kId).chain[0]}), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, SignedBySiblingOfTheSameNameWithAnotherKey) {
  // Same subject and key identifier as the real root: nothing but the signature differs.
  EXPECT_EQ(Defect(root_.Leaf(kId, {.signing_key = FakeEcKey(NID_X9_62_prime256v1)}).chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, IntermediateSignedBySiblingOfTheSameName) {
  EXPECT_EQ(IntermediateDefect(FakeOptions{.signing_key = FakeEcKey(NID_X9_62_prime256v1)}), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, SelfSignedLeaf) {
  const auto key = FakeEcKey(NID_X9_62_prime256v1);
  const FakeLeaf leaf = root_.Leaf(kId, {.key = key, .signing_key = key, .mutate = [](X509* x) {
    SetSubject(x, "me");
    X509_set_issuer_name(x, X509_get_subject_name(x));
    SetExtension(x, NID_authority_key_identifier, "");
  }});
  EXPECT_EQ(Defect(leaf.chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, LeafWithEmptyIssuerSignedByItself) {
  const auto key = FakeEcKey(NID_X9_62_prime256v1);
  const FakeLeaf leaf = root_.Leaf(kId, {.key = key, .signing_key = key, .mutate = [](X509* x) {
    X509_set_issuer_name(x, X509_get_subject_name(x));
    SetExtension(x, NID_authority_key_identifier, "");
  }});
  EXPECT_EQ(Defect(leaf.chain), SvidDefect::kUntrusted);
}
TEST_F(HostileSvid, SignatureTamperedWith) {
  const std::string der = intermediate_.Leaf(kId).chain[0].der();
  for (size_t from_end = 1; from_end <= 20; ++from_end) {
    std::string changed = der;
    changed[der.size() - from_end] = static_cast<char>(changed[der.size() - from_end] ^ 0x01);
    const auto parsed =
        Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(changed.data()), changed.size()));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(Defect({*parsed, intermediate_.certificate()}), SvidDefect::kUntrusted);
  }
}
TEST_F(HostileSvid, TwoAuthoritiesThatCertifyEachOtherInACircle) {
  const auto key_a = FakeEcKey(NID_X9_62_prime256v1), key_b = FakeEcKey(NID_X9_62_prime256v1);
  const auto name = [](const char* subject, const char* issuer) {
    return [subject, issuer](X509* x) {
      SetSubject(x, issuer);
      X509_set_issuer_name(x, X509_get_subject_name(x));
      SetSubject(x, subject);
      SetExtension(x, NID_authority_key_identifier, "");
      SetExtension(x, NID_subject_key_identifier, "");
    };
  };
  const FakeCa a = FakeCa::Root("example.org", {.key = key_a, .signing_key = key_b, .mutate = name("a", "b")});
  const FakeCa b = FakeCa::Root("example.org", {.key = key_b, .signing_key = key_a, .mutate = name("b", "a")});
  const auto no_id = [](X509* x) { SetExtension(x, NID_authority_key_identifier, ""); };
  EXPECT_EQ(Defect({a.Leaf(kId, {.mutate = no_id}).chain[0], a.certificate(), b.certificate()}),
            SvidDefect::kUntrusted);
}

}  // namespace
}  // namespace lanyard
