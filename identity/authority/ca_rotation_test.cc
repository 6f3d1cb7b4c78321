#include "identity/authority/ca_rotation.h"

#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(CaRotationTest, PublishesWhatItSealed) {
  AuthorityParts parts;
  EXPECT_EQ(parts.registry->snapshot()->authorities, parts.rotation->current()->Records());
  EXPECT_EQ(parts.registry->snapshot()->bundle.authorities().size(), 1u);
  EXPECT_EQ(parts.OpenKeys()->Load()->size(), 2u);
}

TEST(CaRotationTest, ARestartGoesOnWithTheSameAuthorities) {
  AuthorityParts parts;
  auto again = CaRotation::Open(*parts.OpenKeys(), parts.lifetimes, *parts.registry, parts.clock, parts.random);
  ASSERT_TRUE(again.ok()) << again.status();
  const uint64_t revision = parts.registry->snapshot()->revision;
  ASSERT_TRUE((*again)->Step().ok());
  EXPECT_EQ((*again)->current()->Records(), parts.rotation->current()->Records());
  EXPECT_EQ(parts.registry->snapshot()->revision, revision);
}

TEST(CaRotationTest, RotatesInItsTime) {
  AuthorityParts parts;
  const std::string first = parts.rotation->current()->Signer()->certificate.serial();
  for (int i = 0; i < 4 && parts.rotation->current()->Signer()->certificate.serial() == first; ++i) {
    const auto next = parts.rotation->Step();
    ASSERT_TRUE(next.ok()) << next.status();
    ASSERT_GT(*next, parts.clock.Now());
    parts.clock.Advance(*next - parts.clock.Now());
    ASSERT_TRUE(parts.rotation->Step().ok());
  }
  EXPECT_NE(parts.rotation->current()->Signer()->certificate.serial(), first);
}

TEST(CaRotationTest, WhatCannotBeKeptIsNotUsed) {
  AuthorityParts parts;
  const auto before = parts.rotation->current();
  parts.clock.Advance(absl::Hours(13));
  // No registry: the keys are sealed but not published, and so they do not sign.
  parts.store.FailWith(absl::ResourceExhaustedError("the disk is full"));
  EXPECT_TRUE(absl::IsResourceExhausted(parts.rotation->Step().status()));
  EXPECT_EQ(parts.rotation->current(), before);
  parts.store.FailWith(absl::OkStatus());
  ASSERT_TRUE(parts.rotation->Step().ok());
  EXPECT_NE(parts.rotation->current()->Signer()->certificate, before->Signer()->certificate);
}

TEST(CaRotationTest, ACrashBetweenSealingAndPublishingIsMadeGood) {
  AuthorityParts parts;
  parts.clock.Advance(absl::Hours(13));
  parts.store.FailWith(absl::UnavailableError("crash"));
  ASSERT_FALSE(parts.rotation->Step().ok());
  parts.store.FailWith(absl::OkStatus());
  const std::vector<AuthorityRecord> stale = parts.registry->snapshot()->authorities;
  auto again = CaRotation::Open(*parts.OpenKeys(), parts.lifetimes, *parts.registry, parts.clock, parts.random);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE((*again)->Step().ok());
  EXPECT_EQ(parts.registry->snapshot()->authorities, (*again)->current()->Records());
  EXPECT_NE(parts.registry->snapshot()->authorities, stale);
}

TEST(CaRotationTest, LostKeysOfAValidRootAreNotReplacedSilently) {
  AuthorityParts parts;
  ASSERT_EQ(unlink((parts.folder + "/authorities.sealed").c_str()), 0);
  const absl::Status refused =
      CaRotation::Open(*parts.OpenKeys(), parts.lifetimes, *parts.registry, parts.clock, parts.random).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(refused.message().find("restore them from a backup"), absl::string_view::npos) << refused;
  // Once the root has expired nothing is lost any more.
  parts.clock.Advance(parts.lifetimes.root + absl::Hours(1));
  EXPECT_TRUE(CaRotation::Open(*parts.OpenKeys(), parts.lifetimes, *parts.registry, parts.clock, parts.random).ok());
}

TEST(CaRotationTest, ARootThatOnlyTheDatabaseKnowsIsNotPublished) {
  AuthorityParts parts;
  CaHierarchy stranger(parts.trust_domain, parts.lifetimes);
  ASSERT_TRUE(stranger.Advance(parts.clock.Now(), parts.random).ok());
  ASSERT_TRUE(parts.registry->PublishAuthorities(stranger.Records()).ok());
  auto again = CaRotation::Open(*parts.OpenKeys(), parts.lifetimes, *parts.registry, parts.clock, parts.random);
  ASSERT_TRUE((*again)->Step().ok());
  EXPECT_EQ(parts.registry->snapshot()->authorities, parts.rotation->current()->Records());
}

}  // namespace
}  // namespace lanyard
