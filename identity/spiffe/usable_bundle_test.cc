#include "identity/spiffe/usable_bundle.h"

#include <openssl/nid.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const TrustDomain kDomain = *TrustDomain::Parse("other.org");

absl::StatusOr<UsableBundle> Der(const std::string& der) {
  return ReadUsableBundleDer(kDomain,
                             absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size()));
}

class UsableBundleTest : public testing::Test {
 protected:
  const FakeCa root_ = FakeCa::Root("other.org");
  const Certificate good_ = root_.certificate();
  const Certificate second_ = FakeCa::Root("other.org").certificate();
  // Well-formed, and no authority.
  const Certificate leaf_ = root_.Leaf("spiffe://other.org/web").chain[0];
  // What Certificate::Parse refuses.
  const std::string negative_ = root_.LeafDer("spiffe://other.org/web", {.mutate = [](X509* x) {
                                                SetSerial(x, "\x05", true);
                                              }});
};

TEST_F(UsableBundleTest, AWholeOneIsTakenWhole) {
  const auto read = Der(good_.der() + second_.der() + good_.der());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bundle.authorities(), (std::vector<Certificate>{good_, second_}));
  EXPECT_TRUE(read->left_out.empty());
  EXPECT_EQ(ReadUsableBundlePem(kDomain, good_.ToPem() + second_.ToPem())->bundle, read->bundle);
}

TEST_F(UsableBundleTest, WhatCannotBeUsedIsLeftOutAndNamed) {
  const auto read = Der(leaf_.der() + good_.der() + negative_ + second_.der());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bundle.authorities(), (std::vector<Certificate>{good_, second_}));
  ASSERT_EQ(read->left_out.size(), 2u);
  EXPECT_THAT(read->left_out[0], HasSubstr("authority 1 in the bundle of other.org: the authority with serial"));
  EXPECT_THAT(read->left_out[1], HasSubstr("authority 3 in the bundle of other.org: the certificate is malformed: "
                                           "its serial number is negative"));
  const auto pem = ReadUsableBundlePem(kDomain, leaf_.ToPem() + good_.ToPem());
  ASSERT_TRUE(pem.ok()) << pem.status();
  EXPECT_EQ(pem->bundle.authorities(), std::vector<Certificate>{good_});
  EXPECT_EQ(pem->left_out.size(), 1u);
}

TEST_F(UsableBundleTest, WhereNothingIsUsableItIsRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Der(leaf_.der()).status()));
  EXPECT_THAT(std::string(Der(leaf_.der()).status().message()), HasSubstr("is not a CA certificate"));
  EXPECT_THAT(std::string(Der(negative_).status().message()), HasSubstr("negative"));
  EXPECT_FALSE(ReadUsableBundlePem(kDomain, leaf_.ToPem()).ok());
}

TEST_F(UsableBundleTest, WhatCannotBeTakenApartIsRefused) {
  EXPECT_THAT(std::string(Der(good_.der() + "garbage").status().message()), HasSubstr("not concatenated DER"));
  EXPECT_FALSE(Der(good_.der().substr(1)).ok());
  EXPECT_FALSE(ReadUsableBundlePem(kDomain, "").ok());
  const std::string pem = good_.ToPem();
  EXPECT_FALSE(ReadUsableBundlePem(kDomain, pem + pem.substr(0, pem.size() - 30)).ok());
}

TEST_F(UsableBundleTest, AnEmptyOneTrustsNobody) {
  const auto read = Der("");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->bundle.authorities().empty());
}

TEST_F(UsableBundleTest, ThoseBeyondTheLimitsAreLeftOut) {
  std::string der, leaves;
  for (size_t i = 0; i < X509Bundle::kMaxAuthorities + 1; ++i) der += FakeCa::Root("other.org").certificate().der();
  auto read = Der(der);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bundle.authorities().size(), X509Bundle::kMaxAuthorities);
  EXPECT_THAT(read->left_out, ElementsAre(HasSubstr("at most 64 are taken")));

  for (size_t i = 0; i < UsableBundle::kMaxRead; ++i) leaves += leaf_.der();
  read = Der(good_.der() + leaves + second_.der());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bundle.authorities(), std::vector<Certificate>{good_});
  EXPECT_EQ(read->left_out.size(), UsableBundle::kMaxRead);
  EXPECT_THAT(read->left_out.back(), HasSubstr("2 authorities in the bundle of other.org: only 256 are looked at"));
}

}  // namespace
}  // namespace lanyard
