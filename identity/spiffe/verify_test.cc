// What VerifySvid accepts, and what it says about it. What it refuses: verify_hostile_test.cc.
#include "identity/spiffe/verify.h"

#include <openssl/digest.h>
#include <openssl/nid.h>
#include <openssl/x509.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

constexpr char kId[] = "spiffe://example.org/web";

class VerifySvidTest : public testing::Test {
 protected:
  absl::Status Verify(const std::vector<Certificate>& chain) const {
    return VerifySvid(chain, root_.Bundles(), now_).status();
  }
  static BundleSet Trusting(const std::vector<Certificate>& authorities) {
    BundleSet bundles;
    bundles.Set(*X509Bundle::Create(*TrustDomain::Parse("example.org"), authorities));
    return bundles;
  }
  const absl::Time now_ = absl::FromUnixSeconds(absl::ToUnixSeconds(SystemClock().Now()));
  const FakeCa root_ = FakeCa::Root("example.org");
  const FakeCa intermediate_ = root_.Intermediate();
};

TEST_F(VerifySvidTest, SaysWhoItIsAndForHowLong) {
  const FakeCa intermediate = root_.Intermediate(
      {.not_before = now_ - absl::Minutes(10), .not_after = now_ + absl::Minutes(20)});
  const FakeLeaf leaf = intermediate.Leaf(
      kId, {.not_before = now_ - absl::Minutes(30), .not_after = now_ + absl::Minutes(40)});
  const auto verified = VerifySvid(leaf.chain, root_.Bundles(), now_);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->id.ToString(), kId);
  EXPECT_EQ(verified->serial, leaf.chain[0].serial());
  EXPECT_EQ(verified->leaf_not_after, now_ + absl::Minutes(40));
  // The intermediate's, which is the narrower.
  EXPECT_EQ(verified->not_before, now_ - absl::Minutes(10));
  EXPECT_EQ(verified->not_after, now_ + absl::Minutes(20));
}

TEST_F(VerifySvidTest, TheAnchorsLifetimeCountsToo) {
  const FakeCa root = FakeCa::Root("example.org", {.not_after = now_ + absl::Minutes(5)});
  const auto verified = VerifySvid(root.Leaf(kId).chain, root.Bundles(), now_);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->not_after, now_ + absl::Minutes(5));
}

TEST_F(VerifySvidTest, HoldsFromTheFirstSecondUntilJustBeforeTheLast) {
  const FakeLeaf leaf = intermediate_.Leaf(kId, {.not_before = now_, .not_after = now_ + absl::Seconds(10)});
  const auto at = [&](absl::Duration offset) {
    return DefectOf(VerifySvid(leaf.chain, root_.Bundles(), now_ + offset).status());
  };
  EXPECT_EQ(at(-absl::Nanoseconds(1)), SvidDefect::kNotYetValid);
  EXPECT_EQ(at(absl::ZeroDuration()), SvidDefect::kNone);
  EXPECT_EQ(at(absl::Seconds(10) - absl::Nanoseconds(1)), SvidDefect::kNone);
  EXPECT_EQ(at(absl::Seconds(10)), SvidDefect::kExpired);
}

TEST_F(VerifySvidTest, EveryStrongKeyTypeAnywhereInThePath) {
  const std::vector<std::shared_ptr<EVP_PKEY>> keys = {FakeEcKey(NID_secp384r1), FakeEcKey(NID_secp521r1),
                                                       FakeRsaKey(2048), FakeEd25519Key()};
  for (const auto& key : keys) {
    const FakeCa root = FakeCa::Root("example.org", {.key = key});
    const FakeLeaf leaf = root.Intermediate({.key = key}).Leaf(kId, {.key = key});
    const auto verified = VerifySvid(leaf.chain, root.Bundles(), now_);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }
}

TEST_F(VerifySvidTest, ChainInAnyOrderAfterTheLeaf) {
  const FakeLeaf leaf = intermediate_.Intermediate().Intermediate().Leaf(kId);
  std::vector<Certificate> chain = leaf.chain;
  std::sort(chain.begin() + 1, chain.end(), [](const auto& a, const auto& b) { return a.der() < b.der(); });
  do {
    EXPECT_TRUE(Verify(chain).ok()) << Verify(chain);
  } while (std::next_permutation(chain.begin() + 1, chain.end(),
                                 [](const auto& a, const auto& b) { return a.der() < b.der(); }));
}

TEST_F(VerifySvidTest, ExtraUnrelatedCertificatesDoNoHarm) {
  const FakeLeaf leaf = intermediate_.Leaf(kId);
  const FakeCa stranger = FakeCa::Root("elsewhere");
  std::vector<Certificate> chain = {leaf.chain[0], stranger.certificate(),
                                    stranger.Leaf("spiffe://elsewhere/x").chain[0],
                                    root_.Intermediate().certificate(), leaf.chain[1], leaf.chain[1],
                                    root_.certificate()};
  EXPECT_TRUE(Verify(chain).ok()) << Verify(chain);
}

TEST_F(VerifySvidTest, RootSentAlongIsJustIgnored) {
  FakeLeaf leaf = root_.Leaf(kId);
  leaf.chain.push_back(root_.certificate());
  EXPECT_TRUE(Verify(leaf.chain).ok());
}

TEST_F(VerifySvidTest, ExtendedKeyUsageMayBeAbsent) {
  EXPECT_TRUE(
      Verify(intermediate_.Leaf(kId, {.mutate = [](X509* x) { SetExtension(x, NID_ext_key_usage, ""); }}).chain).ok());
}

TEST_F(VerifySvidTest, UnknownExtensionThatIsNotCriticalIsIgnored) {
  EXPECT_TRUE(
      Verify(intermediate_.Leaf(kId, {.mutate = [](X509* x) { AddRawExtension(x, "1.2.3.4", false, "x"); }}).chain)
          .ok());
}

TEST_F(VerifySvidTest, PathLengthThatFitsIsAccepted) {
  const FakeCa root = FakeCa::Root("example.org", {.mutate = [](X509* x) {
    SetExtension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:1");
  }});
  const FakeCa intermediate = root.Intermediate(
      {.mutate = [](X509* x) { SetExtension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"); }});
  EXPECT_TRUE(VerifySvid(intermediate.Leaf(kId).chain, root.Bundles(), now_).ok());
}

TEST_F(VerifySvidTest, NameConstraintsThatPermitTheTrustDomainAreHonoured) {
  const FakeCa constrained = root_.Intermediate(
      {.mutate = [](X509* x) { SetExtension(x, NID_name_constraints, "critical,permitted;URI:example.org"); }});
  EXPECT_TRUE(Verify(constrained.Leaf(kId).chain).ok()) << Verify(constrained.Leaf(kId).chain);
}

TEST_F(VerifySvidTest, DeepestAllowedPath) {
  FakeCa ca = root_;
  for (int i = 0; i < kMaxPathLength - 2; ++i) ca = ca.Intermediate();
  EXPECT_TRUE(Verify(ca.Leaf(kId).chain).ok()) << Verify(ca.Leaf(kId).chain);
}

TEST_F(VerifySvidTest, SelfSignatureOfTheAnchorIsNotWhatMakesItTrusted) {
  const FakeCa old = FakeCa::Root("example.org", {.digest = EVP_sha1()});
  EXPECT_TRUE(VerifySvid(old.Leaf(kId).chain, old.Bundles(), now_).ok());
}

TEST_F(VerifySvidTest, IntermediateInTheBundleIsAnAnchorByItself) {
  const auto verified = VerifySvid({intermediate_.Leaf(kId).chain[0]}, intermediate_.Bundles(), now_);
  EXPECT_TRUE(verified.ok()) << verified.status();
}

TEST_F(VerifySvidTest, ExpiredRootInTheBundleDoesNotSpoilTheIntermediateBesideIt) {
  const FakeCa root = FakeCa::Root("example.org", {.not_before = now_ - absl::Hours(2), .not_after = now_});
  const FakeCa intermediate = root.Intermediate();
  const FakeLeaf leaf = intermediate.Leaf(kId);
  const auto verified = VerifySvid(leaf.chain, Trusting({root.certificate(), intermediate.certificate()}), now_);
  EXPECT_TRUE(verified.ok()) << verified.status();
}

TEST_F(VerifySvidTest, TwoAuthoritiesOfOneNameBothCount) {
  const auto named = [](X509* x) {
    SetSubject(x, "the root");
    X509_set_issuer_name(x, X509_get_subject_name(x));
    SetExtension(x, NID_subject_key_identifier, "");
    SetExtension(x, NID_authority_key_identifier, "");
  };
  const auto without_id = [](X509* x) { SetExtension(x, NID_authority_key_identifier, ""); };
  const FakeCa first = FakeCa::Root("example.org", {.mutate = named});
  const FakeCa second = FakeCa::Root("example.org", {.mutate = named});
  const BundleSet both = Trusting({first.certificate(), second.certificate()});
  for (const FakeCa& root : {first, second}) {
    const auto verified = VerifySvid(root.Leaf(kId, {.mutate = without_id}).chain, both, now_);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }
}

TEST_F(VerifySvidTest, RootPathOfAnAuthorityIsNoPath) {
  const auto slash = [](X509* x) { SetUris(x, {"spiffe://example.org/"}); };
  const FakeCa root = FakeCa::Root("example.org", {.mutate = slash});
  const auto verified = VerifySvid(root.Intermediate({.mutate = slash}).Leaf(kId).chain, root.Bundles(), now_);
  EXPECT_TRUE(verified.ok()) << verified.status();
}

// One name and key, signed by two authorities of which each verifier trusts one.
TEST_F(VerifySvidTest, CrossSignedIntermediatesInEitherOrder) {
  const FakeCa other = FakeCa::Root("example.org");
  const FakeOptions twin = {.key = FakeEcKey(NID_X9_62_prime256v1), .mutate = [](X509* x) { SetSubject(x, "I"); }};
  const FakeCa ours = root_.Intermediate(twin), theirs = other.Intermediate(twin);
  const Certificate leaf = ours.Leaf(kId).chain[0];
  for (const FakeCa& trusted : {root_, other}) {
    for (const std::vector<Certificate>& chain :
         {std::vector{leaf, ours.certificate(), theirs.certificate()},
          std::vector{leaf, theirs.certificate(), ours.certificate()}}) {
      const auto verified = VerifySvid(chain, trusted.Bundles(), now_);
      EXPECT_TRUE(verified.ok()) << verified.status();
    }
  }
  // One level further up: what leads away is not the twin itself but what signed it.
  const FakeOptions lower = {.key = FakeEcKey(NID_X9_62_prime256v1), .mutate = [](X509* x) { SetSubject(x, "J"); }};
  const FakeCa above = other.Intermediate();
  const FakeCa astray = above.Intermediate(lower), right = root_.Intermediate(lower);
  const absl::Status status =
      Verify({right.Leaf(kId).chain[0], astray.certificate(), above.certificate(), right.certificate()});
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(VerifySvidTest, AnExpiredTwinIsPassedOver) {
  FakeOptions options = {.key = FakeEcKey(NID_X9_62_prime256v1), .mutate = [](X509* x) { SetSubject(x, "I"); }};
  const FakeCa renewed = root_.Intermediate(options);
  options.not_after = now_ - absl::Minutes(1);
  const Certificate leaf = renewed.Leaf(kId).chain[0];
  const auto after = [&](int expired) {
    std::vector<Certificate> chain = {leaf};
    for (int i = 0; i < expired; ++i) chain.push_back(root_.Intermediate(options).certificate());
    chain.push_back(renewed.certificate());
    return DefectOf(Verify(chain));
  };
  EXPECT_EQ(after(1), SvidDefect::kNone);
  EXPECT_EQ(after(7), SvidDefect::kNone);
  // Eight paths are tried, no more: a peer that has proved nothing does not choose what it costs.
  EXPECT_EQ(after(8), SvidDefect::kExpired);
}

TEST_F(VerifySvidTest, BundleOfTheLeafsOwnTrustDomainIsTheOneThatCounts) {
  const FakeCa other = FakeCa::Root("other.org");
  BundleSet bundles = root_.Bundles();
  bundles.Set(other.Bundle());
  EXPECT_EQ(VerifySvid(other.Leaf("spiffe://other.org/db").chain, bundles, now_)->id.ToString(),
            "spiffe://other.org/db");
  EXPECT_EQ(VerifySvid(intermediate_.Leaf(kId).chain, bundles, now_)->id.ToString(), kId);
}

TEST_F(VerifySvidTest, ThreadsMayShareChainsAndBundles) {
  const FakeLeaf good = intermediate_.Leaf(kId);
  const FakeLeaf bad = FakeCa::Root("example.org").Leaf(kId);
  const BundleSet bundles = root_.Bundles();
  std::vector<std::thread> threads;
  std::atomic<int> accepted = 0, refused = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        accepted += VerifySvid(good.chain, bundles, now_).ok();
        refused += !VerifySvid(bad.chain, bundles, now_).ok();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, 200);
  EXPECT_EQ(refused, 200);
}

TEST_F(VerifySvidTest, RefusalNamesThePeerAndTheDefect) {
  const FakeLeaf leaf = intermediate_.Leaf(kId, {.not_after = now_});
  const absl::Status status = Verify(leaf.chain);
  EXPECT_EQ(DefectOf(status), SvidDefect::kExpired);
  EXPECT_NE(status.message().find("the SVID of spiffe://example.org/web is refused: it expired at "),
            absl::string_view::npos)
      << status;
}

}  // namespace
}  // namespace lanyard
