#include "identity/spiffe/issue.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const TrustDomain kDomain = *TrustDomain::Parse("example.org");

class IssueTest : public testing::Test {
 protected:
  PrivateKey Key(KeyType type = KeyType::kEcP256) const { return *PrivateKey::Generate(type); }
  SigningAuthority Root(const TrustDomain& domain = kDomain) {
    return *CreateRoot(domain, Key(), kNow, kNow + absl::Hours(1000), random_);
  }
  SigningAuthority Intermediate(const SigningAuthority& root) {
    return *CreateIntermediate(root, kDomain, Key(), kNow, kNow + absl::Hours(24), random_);
  }
  LeafRequest Request(absl::string_view id = "spiffe://example.org/web") {
    return {*SpiffeId::Parse(id), key_.evp(), kNow, kNow + absl::Hours(1), {}};
  }
  FakeRandom random_;
  const PrivateKey key_ = *PrivateKey::Generate(KeyType::kEcP256);
};

TEST_F(IssueTest, RootIsASelfSignedAuthorityOfItsTrustDomain) {
  const Certificate root = Root().certificate;
  EXPECT_TRUE(root.is_ca());
  EXPECT_TRUE(root.self_issued());
  EXPECT_TRUE(root.key_usage_critical());
  EXPECT_TRUE(root.key_usage_cert_sign());
  EXPECT_FALSE(root.key_usage_digital_signature());
  EXPECT_FALSE(root.has_extended_key_usage());
  EXPECT_EQ(root.path_length(), -1);
  EXPECT_EQ(root.uri_names(), std::vector<std::string>{"spiffe://example.org"});
  EXPECT_EQ(root.subject_key_id().size(), 40u);
  EXPECT_EQ(root.authority_key_id(), "");
  EXPECT_EQ(root.not_before(), kNow);
  EXPECT_TRUE(X509Bundle::Create(kDomain, {root}).ok());
}

TEST_F(IssueTest, IntermediateIsCappedAndMaySignLeavesOnly) {
  const SigningAuthority root = Root();
  const auto intermediate =
      CreateIntermediate(root, kDomain, Key(), kNow - absl::Hours(1), kNow + absl::Hours(9999), random_);
  ASSERT_TRUE(intermediate.ok()) << intermediate.status();
  EXPECT_EQ(intermediate->certificate.path_length(), 0);
  EXPECT_EQ(intermediate->certificate.not_after(), root.certificate.not_after());
  EXPECT_EQ(intermediate->certificate.not_before(), root.certificate.not_before());
  EXPECT_EQ(intermediate->certificate.authority_key_id(), root.certificate.subject_key_id());
  EXPECT_EQ(intermediate->certificate.uri_names(), std::vector<std::string>{"spiffe://example.org"});
}

TEST_F(IssueTest, LeafIsAnX509SvidByTheStandard) {
  const SigningAuthority intermediate = Intermediate(Root());
  LeafRequest request = Request();
  request.dns_names = {"web.example.org"};
  const auto leaf = SignLeaf(intermediate, request, random_);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(LeafSpiffeId(*leaf)->ToString(), "spiffe://example.org/web");
  EXPECT_TRUE(leaf->subject_empty());
  EXPECT_TRUE(leaf->key_usage_critical());
  EXPECT_TRUE(leaf->eku_server_auth() && leaf->eku_client_auth());
  EXPECT_EQ(leaf->dns_names(), request.dns_names);
  EXPECT_EQ(leaf->authority_key_id(), intermediate.certificate.subject_key_id());
  EXPECT_EQ(leaf->public_key_der(), key_.public_key_der());
  EXPECT_EQ(leaf->not_before(), kNow);
  EXPECT_EQ(leaf->not_after(), kNow + absl::Hours(1));
  EXPECT_GE(leaf->serial().size(), 30u);
}

TEST_F(IssueTest, ChainsOfEveryKeyTypeVerify) {
  for (KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kEd25519}) {
    const SigningAuthority root = *CreateRoot(kDomain, Key(type), kNow, kNow + absl::Hours(9), random_);
    const SigningAuthority intermediate =
        *CreateIntermediate(root, kDomain, Key(type), kNow, kNow + absl::Hours(9), random_);
    const auto leaf = SignLeaf(intermediate, Request(), random_);
    ASSERT_TRUE(leaf.ok()) << leaf.status();
    BundleSet bundles;
    bundles.Set(*X509Bundle::Create(kDomain, {root.certificate}));
    const auto verified = VerifySvid({*leaf, intermediate.certificate}, bundles, kNow);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }
}

TEST_F(IssueTest, LeafNeverOutlivesItsIssuer) {
  const SigningAuthority intermediate = Intermediate(Root());
  LeafRequest request = Request();
  request.not_after = kNow + absl::Hours(25);
  EXPECT_EQ(SignLeaf(intermediate, request, random_)->not_after(), intermediate.certificate.not_after());
}

TEST_F(IssueTest, ExpiredIssuerSignsNothing) {
  const SigningAuthority intermediate = Intermediate(Root());
  LeafRequest request = Request();
  request.not_before = kNow + absl::Hours(24);
  request.not_after = kNow + absl::Hours(25);
  const absl::Status status = SignLeaf(intermediate, request, random_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  request.not_before = kNow + absl::Milliseconds(100);
  request.not_after = kNow + absl::Milliseconds(900);
  EXPECT_TRUE(absl::IsFailedPrecondition(SignLeaf(intermediate, request, random_).status()));
}

TEST_F(IssueTest, ForeignOrPathlessIdIsRefused) {
  const SigningAuthority root = Root();
  EXPECT_TRUE(absl::IsInvalidArgument(SignLeaf(root, Request("spiffe://other.org/web"), random_).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SignLeaf(root, Request("spiffe://example.org"), random_).status()));
}

TEST_F(IssueTest, SerialsAndNamesDiffer) {
  const SigningAuthority first = Root(), second = Root();
  EXPECT_NE(first.certificate.serial(), second.certificate.serial());
  // A leaf of the first does not even look issued by the second.
  BundleSet bundles;
  bundles.Set(*X509Bundle::Create(kDomain, {second.certificate, first.certificate}));
  EXPECT_TRUE(VerifySvid({*SignLeaf(first, Request(), random_)}, bundles, kNow).ok());
  EXPECT_TRUE(VerifySvid({*SignLeaf(second, Request(), random_)}, bundles, kNow).ok());
}

TEST_F(IssueTest, LongestTrustDomainWorks) {
  const TrustDomain longest = *TrustDomain::Parse(std::string(TrustDomain::kMaxSizeBytes, 'x'));
  const SigningAuthority root = Root(longest);
  EXPECT_EQ(root.certificate.uri_names(), std::vector<std::string>{longest.IdString()});
  EXPECT_TRUE(SignLeaf(root, Request(longest.IdString() + "/web"), random_).ok());
}

TEST_F(IssueTest, LongLivedRootUsesGeneralizedTime) {
  const auto root = CreateRoot(kDomain, Key(), kNow, kNow + absl::Hours(24 * 365 * 50), random_);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->certificate.not_after(), kNow + absl::Hours(24 * 365 * 50));
}

}  // namespace
}  // namespace lanyard
