#include "identity/spiffe/verify.h"

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"
#include "identity/spiffe/issue.h"
#include "identity/spiffe/svid.h"

namespace lanyard {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

TEST(VerifySvid, AcceptsLeafByIntermediateByRoot) {
  FakeRandom random;
  const TrustDomain td = *TrustDomain::Parse("example.org");
  const auto root = CreateRoot(td, *PrivateKey::Generate(KeyType::kEcP256), kNow - absl::Hours(1),
                               kNow + absl::Hours(100), random);
  ASSERT_TRUE(root.ok()) << root.status();
  const auto intermediate = CreateIntermediate(*root, td, *PrivateKey::Generate(KeyType::kEcP256),
                                               kNow - absl::Hours(1), kNow + absl::Hours(24), random);
  ASSERT_TRUE(intermediate.ok()) << intermediate.status();
  const PrivateKey key = *PrivateKey::Generate(KeyType::kEcP256);
  const SpiffeId id = *SpiffeId::Parse("spiffe://example.org/web");
  const auto leaf = SignLeaf(*intermediate, {id, key.evp(), kNow, kNow + absl::Hours(1), {}}, random);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  BundleSet bundles;
  bundles.Set(*X509Bundle::Create(td, {root->certificate}));
  const std::vector<Certificate> chain = {*leaf, intermediate->certificate};
  const auto verified = VerifySvid(chain, bundles, kNow);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->id, id);
  EXPECT_EQ(verified->serial, leaf->serial());
  EXPECT_EQ(verified->not_before, kNow);
  EXPECT_EQ(verified->not_after, kNow + absl::Hours(1));
  EXPECT_EQ(DefectOf(VerifySvid(chain, bundles, kNow + absl::Hours(1)).status()), SvidDefect::kExpired);
  EXPECT_EQ(DefectOf(VerifySvid(chain, bundles, kNow - absl::Seconds(1)).status()), SvidDefect::kNotYetValid);
  EXPECT_EQ(DefectOf(VerifySvid({*leaf}, bundles, kNow).status()), SvidDefect::kUntrusted);
  EXPECT_EQ(DefectOf(VerifySvid({intermediate->certificate}, bundles, kNow).status()), SvidDefect::kCaAsLeaf);
  EXPECT_TRUE(X509Svid::Create(chain, key).ok());
}

}  // namespace
}  // namespace lanyard
