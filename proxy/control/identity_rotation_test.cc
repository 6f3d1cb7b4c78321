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
        {std::move(id), "unix:///agent.sock", &clock_, {}, [this](auto tls, bool withdrawn) {
           published_.push_back(std::move(tls));
           withdrawn_.push_back(withdrawn);
         }});
  }
  WorkloadIdentity Identity(const std::vector<FakeLeaf>& leaves) {
    WorkloadIdentity identity;
    for (const FakeLeaf& leaf : leaves) identity.svids.push_back(leaf.Svid());
    identity.bundles = ca_.Bundles();
    return identity;
  }

  // The source says so on the stream that was begun last, `after` a while.
  void Refuse(IdentityRotation& rotation, absl::Duration after = absl::ZeroDuration()) {
    clock_.Advance(after);
    rotation.StreamEnded(absl::PermissionDeniedError("no identity issued"));
  }

  const FakeCa ca_ = FakeCa::Root("td");
  FakeClock clock_{ca_.certificate().not_before() + absl::Minutes(61)};
  const FakeLeaf web_ = ca_.Leaf("spiffe://td/web");
  const FakeLeaf db_ = ca_.Leaf("spiffe://td/db");
  std::vector<std::shared_ptr<const TlsContext>> published_;
  std::vector<bool> withdrawn_;  // with each of these
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
  EXPECT_EQ(rotation.left_out().size(), 2u);
  EXPECT_EQ(rotation.failures(), 0u);
  rotation.Offer(Identity({web_}));
  EXPECT_TRUE(rotation.left_out().empty());
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

TEST_F(IdentityRotationTest, AWithdrawnIdentityIsNotUsableUntilItIsGivenAgain) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  Refuse(rotation);
  Refuse(rotation, absl::Milliseconds(100));
  clock_.Advance(IdentityRotation::kWithdrawnAfter - absl::Seconds(1));
  EXPECT_TRUE(rotation.Usable().ok()) << "it may be given again in a moment";
  EXPECT_FALSE(rotation.withdrawn());
  Refuse(rotation, absl::Seconds(1));
  Refuse(rotation, absl::Seconds(5));
  EXPECT_TRUE(rotation.withdrawn());
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("spiffe://td/web was withdrawn"));
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("no identity issued"));
  EXPECT_EQ(withdrawn_, std::vector<bool>({false, true})) << "once";
  EXPECT_EQ(published_[1], published_[0]) << "never from an identity to none";
  // An agent that goes away meanwhile gives nothing back; the same SVID does.
  rotation.StreamEnded(absl::UnavailableError("connection refused"));
  EXPECT_FALSE(rotation.Usable().ok());
  rotation.Offer(Identity({web_}));
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(withdrawn_, std::vector<bool>({false, true, false}));
  EXPECT_EQ(rotation.rotations(), 1u);
}

TEST_F(IdentityRotationTest, WhatIsRefusedForAMomentIsNotWithdrawn) {
  IdentityRotation rotation = Make();
  for (int i = 0; i < 3; ++i) {
    rotation.Offer(Identity({web_}));
    Refuse(rotation, absl::Minutes(1));
    Refuse(rotation, IdentityRotation::kWithdrawnAfter - absl::Milliseconds(1));
  }
  EXPECT_EQ(withdrawn_, std::vector<bool>({false}));
}

// As by a SPIRE agent that restarted and one of whose attestors does not work.
TEST_F(IdentityRotationTest, ARefusalOnAStreamThatGaveNothingWithdrawsNothing) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.StreamEnded(absl::UnavailableError("restarting"));
  for (int i = 0; i < 5; ++i) Refuse(rotation, IdentityRotation::kWithdrawnAfter);
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(withdrawn_, std::vector<bool>({false}));
}

TEST_F(IdentityRotationTest, AMessageThatCannotBeReadEndsNoStream) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  rotation.SourceFailed(absl::InvalidArgumentError("garbage"));
  Refuse(rotation);
  Refuse(rotation, IdentityRotation::kWithdrawnAfter);
  EXPECT_TRUE(rotation.withdrawn());
}

// An agent that cannot have an SVID at the moment leaves it out of its answer as well.
TEST_F(IdentityRotationTest, AnOfferWithoutTheConfiguredIdWithdrawsNothing) {
  IdentityRotation rotation = Make(SpiffeId::Parse("spiffe://td/web").value());
  rotation.Offer(Identity({web_, db_}));
  rotation.Offer(Identity({db_}));
  clock_.Advance(IdentityRotation::kWithdrawnAfter);
  rotation.Offer(Identity({db_}));
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(withdrawn_, std::vector<bool>({false}));
}

TEST_F(IdentityRotationTest, ASourceThatIsAwayWithdrawsNothing) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(IdentityRotation::kWithdrawnAfter);
    rotation.StreamEnded(absl::UnavailableError("connection refused"));
    rotation.SourceFailed(absl::NotFoundError("svid.pem does not exist"));
  }
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(withdrawn_, std::vector<bool>({false}));
}

TEST_F(IdentityRotationTest, WhatWasNeverGivenIsNotWithdrawn) {
  IdentityRotation rotation = Make();
  for (int i = 0; i < 3; ++i) Refuse(rotation, IdentityRotation::kWithdrawnAfter);
  EXPECT_FALSE(rotation.withdrawn());
  EXPECT_TRUE(published_.empty());
  EXPECT_THAT(rotation.Usable().message(), HasSubstr("waiting for the first identity"));
}

TEST_F(IdentityRotationTest, AWithdrawnIdentityExpiresAsAnyOther) {
  IdentityRotation rotation = Make();
  rotation.Offer(Identity({web_}));
  Refuse(rotation);
  EXPECT_EQ(rotation.failures(), 1u);
  Refuse(rotation, IdentityRotation::kWithdrawnAfter);
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
  Refuse(rotation);
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
