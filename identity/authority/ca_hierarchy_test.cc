#include "identity/authority/ca_hierarchy.h"

#include <deque>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"
#include "identity/spiffe/issue.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

TrustDomain Ours() { return *TrustDomain::Parse("example.org"); }

BundleSet BundlesOf(const CaHierarchy& hierarchy) {
  std::vector<Certificate> roots;
  for (const CaAuthority& authority : hierarchy.authorities()) {
    if (authority.kind == AuthorityKind::kRoot) roots.push_back(authority.certificate);
  }
  BundleSet bundles;
  bundles.Set(*X509Bundle::Create(Ours(), std::move(roots)));
  return bundles;
}

int CountOf(const CaHierarchy& hierarchy, AuthorityKind kind, AuthorityState state) {
  int count = 0;
  for (const CaAuthority& authority : hierarchy.authorities())
    count += authority.kind == kind && authority.state == state;
  return count;
}

const CaAuthority& Active(const CaHierarchy& hierarchy, AuthorityKind kind) {
  for (const CaAuthority& authority : hierarchy.authorities()) {
    if (authority.kind == kind && authority.state == AuthorityState::kActive) return authority;
  }
  ADD_FAILURE() << "no active " << AuthorityKindName(kind);
  return hierarchy.authorities().front();
}

struct Case {
  const char* name;
  CaLifetimes lifetimes;
  absl::Duration svid;
  absl::Duration step;
  absl::Duration length;
};

// Time passes as for the schedule, which comes whenever something is due; an SVID is issued every step.
class CaRotationOverTime : public testing::TestWithParam<Case> {
 protected:
  CaRotationOverTime() : hierarchy_(Ours(), GetParam().lifetimes) {}

  struct Issued {
    std::vector<Certificate> chain;
    absl::Time not_after;
  };

  void AdvanceTo(absl::Time now) {
    for (absl::Time due = published_.empty() ? now : hierarchy_.NextChange(now_); due <= now;
         due = hierarchy_.NextChange(due)) {
      const auto events = hierarchy_.Advance(due, random_);
      ASSERT_TRUE(events.ok()) << events.status();
      ASSERT_FALSE(events->empty()) << "NextChange named a time at which nothing was due";
      for (const CaEvent& event : *events) EXPECT_TRUE(!event.unannounced || due == kStart);
      published_.emplace_back(due, BundlesOf(hierarchy_));
      // The instants of change themselves are where it could go wrong.
      now_ = due;
      Issue();
      VerifyAll();
      if (HasFatalFailure()) return;
    }
    now_ = now;
  }
  // What everybody had a propagation delay before now.
  const BundleSet& OldBundles() {
    while (published_.size() > 1 && published_[1].first <= now_ - GetParam().lifetimes.Propagation()) {
      published_.pop_front();
    }
    return published_.front().second;
  }
  void Issue() {
    const std::optional<SigningAuthority> signer = hierarchy_.Signer();
    ASSERT_TRUE(signer.has_value());
    // Certificates hold whole seconds.
    const absl::Time not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(now_ + GetParam().svid));
    const auto leaf = SignLeaf(
        *signer, {*SpiffeId::Parse("spiffe://example.org/w"), key_.evp(), now_ - absl::Seconds(2), not_after, {}},
        random_);
    ASSERT_TRUE(leaf.ok()) << leaf.status();
    EXPECT_EQ(leaf->not_after(), not_after) << "an SVID lives its full time";
    issued_.push_back({{*leaf, signer->certificate}, not_after});
  }
  void VerifyAll() {
    while (!issued_.empty() && issued_.front().not_after <= now_) issued_.pop_front();
    for (const Issued& issued : issued_) {
      const auto current = VerifySvid(issued.chain, BundlesOf(hierarchy_), now_);
      ASSERT_TRUE(current.ok()) << current.status() << " at " << now_ - kStart;
      const auto old = VerifySvid(issued.chain, OldBundles(), now_);
      ASSERT_TRUE(old.ok()) << "with the bundle of a propagation delay ago: " << old.status() << " at "
                            << now_ - kStart;
    }
  }

  CaHierarchy hierarchy_;
  FakeRandom random_;
  const PrivateKey key_ = *PrivateKey::Generate(KeyType::kEcP256);
  absl::Time now_ = kStart;
  std::deque<std::pair<absl::Time, BundleSet>> published_;
  std::deque<Issued> issued_;
};

TEST_P(CaRotationOverTime, EveryUnexpiredSvidVerifiesWithTheNewBundleAndTheOld) {
  size_t most_authorities = 0;
  for (absl::Duration passed; passed < GetParam().length; passed += GetParam().step) {
    AdvanceTo(kStart + passed);
    Issue();
    VerifyAll();
    if (HasFatalFailure()) return;
    EXPECT_EQ(CountOf(hierarchy_, AuthorityKind::kRoot, AuthorityState::kActive), 1);
    EXPECT_EQ(CountOf(hierarchy_, AuthorityKind::kIntermediate, AuthorityState::kActive), 1);
    most_authorities = std::max(most_authorities, hierarchy_.authorities().size());
  }
  EXPECT_LE(most_authorities, 10u);
}

INSTANTIATE_TEST_SUITE_P(
    Lifetimes, CaRotationOverTime,
    testing::Values(Case{"Weeks",
                         {absl::Hours(24 * 10), absl::Hours(24), absl::Hours(1), absl::Seconds(10)},
                         absl::Hours(1),
                         absl::Minutes(59),
                         absl::Hours(24 * 28)},
                    Case{"Seconds",
                         {absl::Seconds(120), absl::Seconds(40), absl::Seconds(20), absl::Seconds(2)},
                         absl::Seconds(20),
                         absl::Seconds(7),
                         absl::Minutes(8)},
                    Case{"Tightest",
                         {absl::Seconds(48), absl::Seconds(24), absl::Seconds(18), absl::Seconds(2)},
                         absl::Seconds(18),
                         absl::Seconds(5),
                         absl::Minutes(4)},
                    Case{"LongestLeafOfTheDefault",
                         {absl::Hours(24 * 10), absl::Hours(24), absl::Hours(1), absl::Seconds(10)},
                         absl::Hours(12),
                         absl::Hours(7),
                         absl::Hours(24 * 21)}),
    [](const auto& info) { return info.param.name; });

class CaHierarchyTest : public testing::Test {
 protected:
  std::vector<CaEvent> Advance(absl::Time now) {
    auto events = hierarchy_.Advance(now, random_);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? *std::move(events) : std::vector<CaEvent>();
  }
  static constexpr CaLifetimes kLifetimes = {absl::Hours(1200), absl::Hours(24), absl::Hours(1), absl::Seconds(10)};
  FakeRandom random_;
  CaHierarchy hierarchy_{Ours(), kLifetimes};
};

TEST_F(CaHierarchyTest, BeginsWithARootAndAnIntermediateInUseAtOnce) {
  EXPECT_FALSE(hierarchy_.Signer().has_value());
  EXPECT_EQ(hierarchy_.NextChange(kStart), kStart);
  EXPECT_EQ(Advance(kStart).size(), 4u);
  EXPECT_EQ(hierarchy_.authorities().size(), 2u);
  EXPECT_EQ(hierarchy_.Signer()->certificate, Active(hierarchy_, AuthorityKind::kIntermediate).certificate);
  EXPECT_TRUE(Advance(kStart).empty()) << "nothing more is due";
  EXPECT_TRUE(Advance(hierarchy_.NextChange(kStart) - absl::Seconds(1)).empty());
}

TEST_F(CaHierarchyTest, ARootIsPublishedForItsTimeBeforeItSigns) {
  Advance(kStart);
  const std::string first = Active(hierarchy_, AuthorityKind::kRoot).certificate.serial();
  absl::Time prepared, now = kStart;
  while (Active(hierarchy_, AuthorityKind::kRoot).certificate.serial() == first) {
    now = hierarchy_.NextChange(now);
    Advance(now);
    if (prepared == absl::Time() && CountOf(hierarchy_, AuthorityKind::kRoot, AuthorityState::kPrepared) == 1)
      prepared = now;
  }
  EXPECT_GE(now - prepared, kLifetimes.Propagation());
  EXPECT_EQ(CountOf(hierarchy_, AuthorityKind::kRoot, AuthorityState::kRetired), 1) << "still in the bundle";
  for (const CaAuthority& authority : hierarchy_.authorities()) {
    EXPECT_EQ(authority.key.has_value(), authority.state != AuthorityState::kRetired);
  }
}

TEST_F(CaHierarchyTest, AfterALongDowntimeANewHierarchyStandsAtOnceAndSaysSo) {
  Advance(kStart);
  const absl::Time late = kStart + kLifetimes.root + absl::Hours(1);
  EXPECT_FALSE(hierarchy_.NextChange(late) > late);
  bool unannounced = false, expired = false;
  for (const CaEvent& event : Advance(late)) {
    unannounced |= event.unannounced && event.kind == AuthorityKind::kRoot;
    expired |= event.what == CaEvent::What::kExpired && event.kind == AuthorityKind::kRoot;
  }
  EXPECT_TRUE(unannounced);
  EXPECT_TRUE(expired);
  EXPECT_GT(hierarchy_.Signer()->certificate.not_after(), late);
}

TEST_F(CaHierarchyTest, ARootLateInItsLifeServesOnUntilItsSuccessorIsKnown) {
  Advance(kStart);
  const std::string first = Active(hierarchy_, AuthorityKind::kRoot).certificate.serial();
  // Past the time at which it should have handed over, with nobody there to prepare a successor.
  const absl::Time late = kStart + kLifetimes.root - absl::Hours(10);
  Advance(late);
  EXPECT_EQ(Active(hierarchy_, AuthorityKind::kRoot).certificate.serial(), first);
  EXPECT_EQ(CountOf(hierarchy_, AuthorityKind::kRoot, AuthorityState::kPrepared), 1);
  EXPECT_EQ(hierarchy_.Signer()->certificate.not_after(),
            Active(hierarchy_, AuthorityKind::kRoot).certificate.not_after());
  int steps = 0;
  for (absl::Time now = late; Active(hierarchy_, AuthorityKind::kRoot).certificate.serial() == first;) {
    ASSERT_LT(++steps, 10) << "an intermediate that its root holds down must not be made again and again";
    const absl::Time next = hierarchy_.NextChange(now);
    ASSERT_GT(next, now);
    ASSERT_LT(next, absl::InfiniteFuture());
    now = next;
    Advance(now);
  }
}

TEST_F(CaHierarchyTest, AClockThatWasAheadForAWhileLeavesASignerBehind) {
  Advance(kStart);
  const std::string root = Active(hierarchy_, AuthorityKind::kRoot).certificate.serial();
  // First past the intermediate's hand-over, then into the next one's preparation.
  Advance(kStart + absl::Hours(13));
  Advance(kStart + absl::Hours(24));
  ASSERT_EQ(CountOf(hierarchy_, AuthorityKind::kIntermediate, AuthorityState::kPrepared), 1);
  const absl::Time now = kStart + absl::Minutes(1);
  CaHierarchy restored(Ours(), kLifetimes, hierarchy_.authorities());
  for (CaHierarchy* hierarchy : {&hierarchy_, &restored}) {
    EXPECT_EQ(hierarchy->NextChange(now), now);
    ASSERT_TRUE(hierarchy->Advance(now, random_).ok());
    ASSERT_TRUE(hierarchy->Signer().has_value());
    EXPECT_LE(hierarchy->Signer()->certificate.not_before(), now);
    EXPECT_GT(hierarchy->Signer()->certificate.not_after(), now + absl::Hours(23));
    EXPECT_EQ(CountOf(*hierarchy, AuthorityKind::kIntermediate, AuthorityState::kPrepared), 0);
    EXPECT_EQ(CountOf(*hierarchy, AuthorityKind::kIntermediate, AuthorityState::kActive), 1);
    EXPECT_EQ(Active(*hierarchy, AuthorityKind::kRoot).certificate.serial(), root);
    EXPECT_GT(hierarchy->NextChange(now), now);
    EXPECT_TRUE(hierarchy->Advance(now, random_)->empty());
  }
}

TEST_F(CaHierarchyTest, AClockFromBeforeTheRootChangesNothing) {
  Advance(kStart);
  const std::vector<AuthorityRecord> records = hierarchy_.Records();
  const absl::Time long_ago = kStart - absl::Hours(24 * 365);
  EXPECT_GT(hierarchy_.NextChange(long_ago), long_ago) << "the schedule would never rest";
  EXPECT_TRUE(Advance(long_ago).empty());
  EXPECT_EQ(hierarchy_.Records(), records);
  EXPECT_TRUE(Advance(kStart + absl::Minutes(1)).empty());
}

TEST_F(CaHierarchyTest, ARestoredHierarchyGoesOnWhereItStood) {
  Advance(kStart);
  CaHierarchy restored(Ours(), kLifetimes, hierarchy_.authorities());
  EXPECT_EQ(restored.NextChange(kStart), hierarchy_.NextChange(kStart));
  EXPECT_TRUE(restored.Advance(kStart + absl::Minutes(1), random_)->empty());
  EXPECT_EQ(restored.Records(), hierarchy_.Records());
}

}  // namespace
}  // namespace lanyard
