#include "proxy/control/identity_rotation.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

class IdentityRotationTest : public testing::Test {
 protected:
  IdentityRotation Make(std::optional<SpiffeId> id = std::nullopt) {
    return IdentityRotation(
        {std::move(id), "unix:///agent.sock", &clock_, {}, [this](auto tls) { published_.push_back(std::move(tls)); }});
  }
  WorkloadIdentity Identity(const std::vector<FakeLeaf>& leaves) {
    WorkloadIdentity identity;
    for (const FakeLeaf& leaf : leaves) identity.svids.push_back(leaf.Svid());
    identity.bundles = ca_.Bundles();
    return identity;
  }

  const FakeCa ca_ = FakeCa::Root("td");
  FakeClock clock_{ca_.certificate().not_before() + absl::Minutes(61)};
  const FakeLeaf web_ = ca_.Leaf("spiffe://td/web");
  const FakeLeaf db_ = ca_.Leaf("spiffe://td/db");
  std::vector<std::shared_ptr<const TlsContext>> published_;
};

TEST_F(IdentityRotationTest, TheFirstSvidIsTheDefault) {
  IdentityRotation rotation = Make();
  EXPECT_EQ(rotation.current(), nullptr);
  rotation.Offer(Identity({web_, db_}));
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0]->svid()->id().ToString(), "spiffe://td/web");
  EXPECT_EQ(rotation.current(), published_[0]);
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(rotation.rotations(), 1u);
}

TEST_F(IdentityRotationTest, TheConfiguredSvidIsChosen) {
  IdentityRotation rotation = Make(SpiffeId::Parse("spiffe://td/db").value());
  rotation.Offer(Identity({web_, db_}));
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0]->svid()->id().ToString(), "spiffe://td/db");
}

TEST_F(IdentityRotationTest, WithoutTheConfiguredSvidNothingElseIsTaken) {
  IdentityRotation rotation = Make(SpiffeId::Parse("spiffe://td/cache").value());
  rotation.Offer(Identity({web_, db_}));
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(rotation.failures(), 1u);
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("offered only spiffe://td/web, spiffe://td/db"));
}

TEST_F(IdentityRotationTest, TheSameIdentityAgainIsNoChange) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.Offer(Identity({web_, db_}));
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(rotation.rotations(), 1u);
  EXPECT_EQ(rotation.failures(), 0u);
}

TEST_F(IdentityRotationTest, WhatIsLeftOutOfBundlesIsCountedAndCostsNoIdentity) {
  IdentityRotation rotation = Make();
  WorkloadIdentity odd = Identity({web_});
  odd.left_out = {"the bundle of other.org: cut short", "the bundle of third.org: authority 1"};
  rotation.Offer(odd);
  rotation.Offer(odd);
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(rotation.left_out(), 2u);
  EXPECT_EQ(rotation.failures(), 0u);
  rotation.Offer(Identity({web_}));
  EXPECT_EQ(rotation.left_out(), 0u);
}

TEST_F(IdentityRotationTest, ARenewedSvidIsPublished) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.Offer(Identity({ca_.Leaf("spiffe://td/web")}));
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_NE(published_[0]->svid()->leaf().serial(), published_[1]->svid()->leaf().serial());
  EXPECT_EQ(rotation.rotations(), 2u);
  EXPECT_EQ(rotation.bundle_changes(), 1u);
}

TEST_F(IdentityRotationTest, AChangedBundleIsPublishedAndIsNoRotation) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  WorkloadIdentity federated = Identity({web_});
  federated.bundles.Set(FakeCa::Root("other.org").Bundle());
  rotation.Offer(std::move(federated));
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1]->bundles().bundles().size(), 2u);
  EXPECT_EQ(rotation.rotations(), 1u);
  EXPECT_EQ(rotation.bundle_changes(), 2u);
}

TEST_F(IdentityRotationTest, AnIdentityThatItsOwnBundleDoesNotProveIsRefusedAndTheOldStays) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.Offer(Identity({FakeCa::Root("td").Leaf("spiffe://td/web")}));
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(rotation.failures(), 1u);
  EXPECT_EQ(rotation.current(), published_[0]);
  EXPECT_TRUE(rotation.Usable().ok());
}

TEST_F(IdentityRotationTest, AnExpiredOrEmptyOfferIsRefused) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({}));
  clock_.Advance(absl::Hours(2));
  rotation.Offer(Identity({web_}));
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(rotation.failures(), 2u);
}

TEST_F(IdentityRotationTest, AWithdrawnIdentityStaysUntilItExpires) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.SourceFailed(absl::PermissionDeniedError("no identity issued"));
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(rotation.failures(), 1u);
  clock_.JumpTo(web_.Svid().not_after() + absl::Seconds(1));
  rotation.CheckExpiry();
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("expired at"));
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("no identity issued"));
  EXPECT_EQ(rotation.current(), published_[0]) << "never from an identity to none";
}

TEST_F(IdentityRotationTest, AnSvidThatIsNotValidYetIsTakenOnceItIs) {
  IdentityRotation rotation = Make();
  const absl::Time now = clock_.Now();
  clock_.JumpTo(web_.Svid().leaf().not_before() - absl::Seconds(2));
  rotation.Offer(Identity({web_}));
  rotation.Retry();
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(rotation.failures(), 1u) << "a retry is no failure of its own";
  clock_.JumpTo(now);
  rotation.Retry();
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_TRUE(rotation.Usable().ok());
  rotation.Retry();
  EXPECT_EQ(published_.size(), 1u);
}

TEST_F(IdentityRotationTest, WhatWasWithdrawnIsNotTriedAgain) {
  IdentityRotation rotation = Make();
  const absl::Time now = clock_.Now();
  clock_.JumpTo(web_.Svid().leaf().not_before() - absl::Seconds(2));
  rotation.Offer(Identity({web_}));
  rotation.SourceFailed(absl::PermissionDeniedError("no identity issued"));
  clock_.JumpTo(now);
  rotation.Retry();
  EXPECT_TRUE(published_.empty());
}

TEST_F(IdentityRotationTest, UntilTheFirstIdentityTheReasonIsTold) {
  IdentityRotation rotation = Make();
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("waiting for the first identity from unix:///agent.sock"));
  rotation.SourceFailed(absl::UnavailableError("connection refused"));
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("connection refused"));
}

}  // namespace
}  // namespace lanyard
