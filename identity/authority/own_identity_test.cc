#include "identity/authority/own_identity.h"

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(OwnIdentityTest, RenewsAtHalfOfWhatIsLeft) {
  // Dated back further than it lives: half of the certificate's own span would be over at once.
  AuthorityParts parts({}, {.node_svid = absl::Seconds(20), .backdate = absl::Minutes(1)});
  OwnIdentity identity(*parts.issuer, parts.clock);
  const X509Bundle bundle = parts.registry->snapshot()->bundle;
  const auto first = identity.Refresh(bundle);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_NE(*first, nullptr);
  EXPECT_EQ((*first)->svid()->id(), AuthorityId(parts.trust_domain));
  EXPECT_EQ(identity.NextRenewal(), parts.clock.Now() + absl::Seconds(10));
  EXPECT_EQ(*identity.Refresh(bundle), nullptr);
  parts.clock.Advance(absl::Seconds(10));
  const auto second = identity.Refresh(bundle);
  ASSERT_TRUE(second.ok() && *second != nullptr);
  EXPECT_NE((*second)->svid()->leaf(), (*first)->svid()->leaf());
}

TEST(OwnIdentityTest, ANewBundleMakesANewContextForTheSameSvid) {
  AuthorityParts parts;
  OwnIdentity identity(*parts.issuer, parts.clock);
  const auto first = identity.Refresh(parts.registry->snapshot()->bundle);
  CaHierarchy other(parts.trust_domain, parts.lifetimes);
  ASSERT_TRUE(other.Advance(parts.clock.Now(), parts.random).ok());
  std::vector<Certificate> roots = parts.registry->snapshot()->bundle.authorities();
  roots.push_back(other.authorities().front().certificate);
  const auto second = identity.Refresh(*X509Bundle::Create(parts.trust_domain, roots));
  ASSERT_TRUE(second.ok() && *second != nullptr);
  EXPECT_EQ((*second)->svid()->leaf(), (*first)->svid()->leaf());
  EXPECT_NE((*second)->bundle_version(), (*first)->bundle_version());
}

TEST(OwnIdentityTest, AnSvidMadeWhileTheClockWasAheadIsReplaced) {
  AuthorityParts parts;
  OwnIdentity identity(*parts.issuer, parts.clock);
  const X509Bundle bundle = parts.registry->snapshot()->bundle;
  ASSERT_TRUE(identity.Refresh(bundle).ok());
  const absl::Time now = parts.clock.Now();
  const absl::Time renewal = identity.NextRenewal();
  parts.clock.JumpTo(renewal + absl::Minutes(1));
  const auto ahead = identity.Refresh(bundle);
  ASSERT_TRUE(ahead.ok() && *ahead != nullptr);
  ASSERT_GT((*ahead)->svid()->not_before(), now);
  parts.clock.JumpTo(now);
  const auto replaced = identity.Refresh(bundle);
  ASSERT_TRUE(replaced.ok() && *replaced != nullptr) << "nobody could connect until that one begins";
  EXPECT_LE((*replaced)->svid()->not_before(), now);
  EXPECT_EQ(identity.NextRenewal(), renewal);
  EXPECT_EQ(*identity.Refresh(bundle), nullptr);
}

TEST(OwnIdentityTest, AnErrorChangesNothing) {
  AuthorityParts parts;
  OwnIdentity identity(*parts.issuer, parts.clock);
  ASSERT_TRUE(identity.Refresh(parts.registry->snapshot()->bundle).ok());
  const absl::Time renewal = identity.NextRenewal();
  EXPECT_FALSE(identity.Refresh(*X509Bundle::Create(parts.trust_domain, {})).ok()) << "nobody could verify it";
  EXPECT_EQ(identity.NextRenewal(), renewal);
}

}  // namespace
}  // namespace lanyard
