#include "identity/agent/svid_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "identity/agent/fake_authority.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

WorkloadEntry Entry(const std::string& id, const std::string& path) {
  return {.id = id, .spiffe_id = *SpiffeId::Parse("spiffe://example.org" + path), .selectors = {"unix:uid:1"},
          .dns_names = {}, .hint = ""};
}

class SvidCacheTest : public testing::Test {
 protected:
  SvidCacheTest() { cache_.OnChange([this] { ++changes_; }); }

  void Set(std::vector<WorkloadEntry> entries) {
    cache_.SetState({++revision_, std::move(entries), authority_.bundles(), mesh_});
  }
  X509Svid Mint(const SvidCache::Task& task, absl::Duration lifetime) {
    return authority_.Mint(task.entry->spiffe_id.ToString(), lifetime);
  }
  // Answers everything that is due now; returns how many.
  size_t RenewDue(absl::Duration lifetime) {
    const std::vector<SvidCache::Task> tasks = cache_.TakeDue(1000);
    for (const SvidCache::Task& task : tasks) EXPECT_TRUE(cache_.Succeed(task, Mint(task, lifetime)).ok());
    cache_.Publish();
    return tasks.size();
  }
  std::optional<std::string> SerialOf(size_t item) {
    const auto& svid = cache_.view()->items.at(item).svid;
    return svid ? std::optional<std::string>(svid->leaf().serial()) : std::nullopt;
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeAuthority authority_{clock_};
  SvidCache cache_{*TrustDomain::Parse("example.org"), clock_, random_};
  std::shared_ptr<const NodeMesh> mesh_;
  uint64_t revision_ = 0;
  int changes_ = 0;
};

TEST_F(SvidCacheTest, HasNoViewBeforeTheFirstState) {
  EXPECT_EQ(cache_.view(), nullptr);
  Set({});
  ASSERT_NE(cache_.view(), nullptr);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(cache_.NextDue(), absl::InfiniteFuture());
}

TEST_F(SvidCacheTest, TheViewSaysWhetherItIsWhole) {
  cache_.SetState({.revision = 1, .entries = {}, .bundles = authority_.bundles(), .mesh = mesh_, .whole = false});
  EXPECT_FALSE(cache_.view()->whole);
  Set({});
  EXPECT_TRUE(cache_.view()->whole);
}

TEST_F(SvidCacheTest, ANewEntryIsDueAtOnceAndTakenOnce) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  EXPECT_EQ(cache_.NextDue(), clock_.Now());
  EXPECT_EQ(cache_.TakeDue(1).size(), 1u);
  EXPECT_EQ(cache_.TakeDue(10).size(), 1u);
  EXPECT_TRUE(cache_.TakeDue(10).empty());
}

TEST_F(SvidCacheTest, RenewsAroundHalfOfWhatIsLeftWhenItWasObtained) {
  Set({Entry("a", "/a")});
  // Back-dated by 10 s, so that half of the certificate's own span would be due at once.
  ASSERT_EQ(RenewDue(absl::Seconds(5)), 1u);
  const absl::Duration wait = cache_.NextDue() - clock_.Now();
  EXPECT_GE(wait, absl::Seconds(2));
  EXPECT_LE(wait, absl::Seconds(3));
  clock_.Advance(wait - absl::Milliseconds(1));
  EXPECT_EQ(RenewDue(absl::Seconds(5)), 0u);
  clock_.Advance(absl::Milliseconds(1));
  const auto before = SerialOf(0);
  EXPECT_EQ(RenewDue(absl::Seconds(5)), 1u);
  EXPECT_NE(SerialOf(0), before);
}

TEST_F(SvidCacheTest, ABatchIsPublishedOnce) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  EXPECT_EQ(RenewDue(absl::Hours(1)), 2u);
  EXPECT_EQ(changes_, 2);
  cache_.Publish();
  EXPECT_EQ(changes_, 2);
}

TEST_F(SvidCacheTest, ThePhaseIsDrawnOnceAnIdentity) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  const absl::Duration first = cache_.NextDue() - clock_.Now();
  clock_.Advance(first);
  RenewDue(absl::Hours(1));
  // A certificate's times are whole seconds.
  EXPECT_LT(absl::AbsDuration(cache_.NextDue() - clock_.Now() - first), absl::Seconds(1));
}

TEST_F(SvidCacheTest, IdentitiesThatStartTogetherPartWays) {
  std::vector<WorkloadEntry> entries;
  for (int i = 0; i < 60; ++i) entries.push_back(Entry(std::to_string(i), "/" + std::to_string(i)));
  Set(entries);
  RenewDue(absl::Hours(1));
  const absl::Time start = clock_.Now();
  std::map<int64_t, size_t> of_six_minutes;
  while (clock_.Now() - start < absl::Hours(5)) {
    clock_.Advance(cache_.NextDue() - clock_.Now());
    of_six_minutes[(clock_.Now() - start) / absl::Minutes(6)] += RenewDue(absl::Hours(1));
  }
  // 60 every half hour are 12 in six minutes. After two hours no six minutes have much more, and none have nothing.
  for (int64_t slot = 20; slot < 50; ++slot) {
    EXPECT_LE(of_six_minutes[slot], 27u) << slot;
    EXPECT_GE(of_six_minutes[slot], 2u) << slot;
  }
}

TEST_F(SvidCacheTest, AFailureIsRetriedWithABackoffAndKeepsWhatIsValid) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Minutes(1));
  const auto serial = SerialOf(0);
  clock_.Advance(absl::Seconds(40));
  absl::Duration last;
  for (int i = 0; i < 8; ++i) {
    const std::vector<SvidCache::Task> tasks = cache_.TakeDue(10);
    ASSERT_EQ(tasks.size(), 1u);
    cache_.Fail(tasks[0]);
    EXPECT_TRUE(cache_.TakeDue(10).empty());
    last = cache_.NextDue() - clock_.Now();
    EXPECT_GT(last, absl::Milliseconds(50));
    // A tenth of the lifetime.
    EXPECT_LE(last, absl::Seconds(6));
    clock_.Advance(last);
  }
  EXPECT_GE(last, absl::Seconds(3));
  EXPECT_EQ(SerialOf(0), serial);
}

TEST_F(SvidCacheTest, ItIsSeenThatAnSvidCouldNotBeHadUntilItCouldOrAnotherIsAskedFor) {
  Set({Entry("a", "/a")});
  cache_.Fail(cache_.TakeDue(1).at(0));
  EXPECT_FALSE(cache_.view()->items.at(0).failed) << "not published yet";
  cache_.Publish();
  EXPECT_TRUE(cache_.view()->items.at(0).failed);
  const int changes = changes_;
  clock_.Advance(absl::Minutes(1));
  cache_.Fail(cache_.TakeDue(1).at(0));
  cache_.Publish();
  EXPECT_EQ(changes_, changes) << "the same again is nothing new";
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u);
  EXPECT_FALSE(cache_.view()->items.at(0).failed);
  clock_.Advance(absl::Minutes(59));
  cache_.Fail(cache_.TakeDue(1).at(0));
  cache_.Publish();
  ASSERT_TRUE(cache_.view()->items.at(0).failed);
  Set({Entry("a", "/other")});
  EXPECT_FALSE(cache_.view()->items.at(0).failed);
}

TEST_F(SvidCacheTest, ASuccessResetsTheBackoff) {
  Set({Entry("a", "/a")});
  for (int i = 0; i < 6; ++i) {
    cache_.Fail(cache_.TakeDue(1).at(0));
    clock_.Advance(cache_.NextDue() - clock_.Now());
  }
  RenewDue(absl::Hours(1));
  clock_.Advance(absl::Minutes(50));
  cache_.Fail(cache_.TakeDue(1).at(0));
  EXPECT_LE(cache_.NextDue() - clock_.Now(), absl::Milliseconds(200));
}

TEST_F(SvidCacheTest, TheOneNearestItsEndGoesFirst) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  for (const SvidCache::Task& task : cache_.TakeDue(2)) {
    ASSERT_TRUE(cache_.Succeed(task, Mint(task, task.entry->id == "a" ? absl::Hours(2) : absl::Hours(1))).ok());
  }
  clock_.Advance(absl::Minutes(100));
  EXPECT_EQ(cache_.TakeDue(1).at(0).entry->id, "b");
}

TEST_F(SvidCacheTest, ARemovedEntryTakesItsSvidWithIt) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  RenewDue(absl::Hours(1));
  Set({Entry("b", "/b")});
  ASSERT_EQ(cache_.view()->items.size(), 1u);
  EXPECT_EQ(cache_.view()->items[0].entry->id, "b");
  EXPECT_TRUE(cache_.view()->items[0].svid.has_value());
}

TEST_F(SvidCacheTest, AResultForARemovedEntryIsIgnored) {
  Set({Entry("a", "/a")});
  const SvidCache::Task task = cache_.TakeDue(1).at(0);
  Set({});
  EXPECT_TRUE(cache_.Succeed(task, Mint(task, absl::Hours(1))).ok());
  cache_.Publish();
  EXPECT_TRUE(cache_.view()->items.empty());
}

TEST_F(SvidCacheTest, AResultForAnEntryThatMeanwhileHasAnotherIdIsIgnored) {
  Set({Entry("a", "/a")});
  const SvidCache::Task task = cache_.TakeDue(1).at(0);
  Set({Entry("a", "/other")});
  EXPECT_TRUE(cache_.Succeed(task, Mint(task, absl::Hours(1))).ok());
  cache_.Publish();
  EXPECT_FALSE(SerialOf(0).has_value());
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u);
  EXPECT_EQ(cache_.view()->items[0].svid->id().path(), "/other");
}

TEST_F(SvidCacheTest, AChangedIdDropsTheSvidAndChangedNamesRenewIt) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  const auto serial = SerialOf(0);
  WorkloadEntry named = Entry("a", "/a");
  named.dns_names = {"a.example.org"};
  Set({named});
  EXPECT_EQ(SerialOf(0), serial);
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u);
  Set({Entry("a", "/b")});
  EXPECT_FALSE(SerialOf(0).has_value());
}

TEST_F(SvidCacheTest, ChangedSelectorsNeedNoNewSvid) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  WorkloadEntry changed = Entry("a", "/a");
  changed.selectors = {"unix:uid:2"};
  Set({changed});
  EXPECT_TRUE(cache_.TakeDue(1).empty());
  EXPECT_EQ(cache_.view()->items[0].entry->selectors, changed.selectors);
}

TEST_F(SvidCacheTest, RefusesAnSvidOfAnotherId) {
  Set({Entry("a", "/a")});
  const SvidCache::Task task = cache_.TakeDue(1).at(0);
  const absl::Status refused = cache_.Succeed(task, authority_.Mint("spiffe://example.org/admin", absl::Hours(1)));
  cache_.Publish();
  EXPECT_FALSE(refused.ok());
  EXPECT_FALSE(SerialOf(0).has_value());
  EXPECT_GT(cache_.NextDue(), clock_.Now());
}

TEST_F(SvidCacheTest, RefusesAnSvidThatTheBundleDoesNotVouchFor) {
  Set({Entry("a", "/a")});
  const SvidCache::Task task = cache_.TakeDue(1).at(0);
  const FakeAuthority impostor(clock_);
  EXPECT_FALSE(cache_.Succeed(task, impostor.Mint("spiffe://example.org/a", absl::Hours(1))).ok());
  cache_.Publish();
  EXPECT_FALSE(SerialOf(0).has_value());
}

TEST_F(SvidCacheTest, ANewRootBesideTheOldKeepsSvidsAndAloneReplacesThem) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  authority_.ReplaceRoot(true);
  Set({Entry("a", "/a")});
  EXPECT_TRUE(SerialOf(0).has_value());
  authority_.ReplaceRoot(false);
  Set({Entry("a", "/a")});
  EXPECT_FALSE(SerialOf(0).has_value());
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u);
  EXPECT_TRUE(SerialOf(0).has_value());
}

TEST_F(SvidCacheTest, WhatWasKeptIsServedAgainAndRenewedWhenItWouldHaveBeen) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  RenewDue(absl::Hours(1));
  const absl::Time due = cache_.NextDue();
  clock_.Advance(absl::Minutes(10));
  SvidCache restarted(*TrustDomain::Parse("example.org"), clock_, random_);
  restarted.Restore(cache_.Keep());
  EXPECT_TRUE(restarted.TakeDue(10).empty());
  EXPECT_EQ(restarted.view()->items[1].svid->leaf(), cache_.view()->items[1].svid->leaf());
  // The phase is drawn anew: within its bounds, from the time it was obtained.
  EXPECT_LE(restarted.NextDue() - due, absl::Minutes(12));
  EXPECT_GE(restarted.NextDue() - clock_.Now(), absl::Minutes(14));
}

TEST_F(SvidCacheTest, WhatExpiredMeanwhileIsNotRestored) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Minutes(5));
  clock_.Advance(absl::Minutes(5));
  SvidCache restarted(*TrustDomain::Parse("example.org"), clock_, random_);
  restarted.Restore(cache_.Keep());
  EXPECT_FALSE(restarted.view()->items[0].svid.has_value());
  EXPECT_EQ(restarted.TakeDue(10).size(), 1u);
}

TEST_F(SvidCacheTest, ABannedSerialIsReplacedAndABannedIdIsNot) {
  Set({Entry("a", "/a"), Entry("b", "/b")});
  RenewDue(absl::Hours(1));
  const KeptWorkloads kept = cache_.Keep();
  auto mesh = std::make_shared<NodeMesh>();
  mesh->version = 1;
  mesh->ban_set = BanSet(std::vector<Ban>{{*BanSubject::Parse("serial:" + *SerialOf(0)), "", clock_.Now()},
                                          {*BanSubject::Parse("spiffe://example.org/b"), "", clock_.Now()}});
  mesh_ = mesh;
  Set({Entry("a", "/a"), Entry("b", "/b")});
  EXPECT_FALSE(SerialOf(0).has_value());
  EXPECT_TRUE(SerialOf(1).has_value()) << "it is handed out again once the ban is lifted";
  SvidCache restarted(*TrustDomain::Parse("example.org"), clock_, random_);
  KeptWorkloads both = kept;
  both.state.mesh = mesh_;
  restarted.Restore(std::move(both));
  EXPECT_FALSE(restarted.view()->items[0].svid.has_value());
  EXPECT_TRUE(restarted.view()->items[1].svid.has_value());
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u);
  EXPECT_TRUE(SerialOf(0).has_value());
}

TEST_F(SvidCacheTest, AClockSetBackMakesWhatIsNotYetValidDue) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  clock_.JumpTo(clock_.Now() - absl::Hours(24));
  ASSERT_EQ(cache_.TakeDue(10).size(), 1u);
}

TEST_F(SvidCacheTest, AFailureWhileTheClockWasAheadDoesNotPutOffTheNextTry) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  const absl::Time now = clock_.Now();
  clock_.JumpTo(now + absl::Hours(24));
  // What the authority signs by the right time has expired by this clock.
  const std::vector<SvidCache::Task> tasks = cache_.TakeDue(10);
  ASSERT_EQ(tasks.size(), 1u);
  cache_.Fail(tasks[0]);
  clock_.JumpTo(now);
  clock_.Advance(absl::Minutes(40));
  EXPECT_EQ(RenewDue(absl::Hours(1)), 1u) << "the SVID would expire";
  EXPECT_EQ(cache_.TakeDue(10).size(), 0u);
  EXPECT_GT(cache_.NextDue(), clock_.Now());
}

TEST_F(SvidCacheTest, AfterTheClockWasSetBackFailuresAreRetriedWithABackoff) {
  Set({Entry("a", "/a")});
  RenewDue(absl::Hours(1));
  clock_.JumpTo(clock_.Now() - absl::Hours(24));
  const std::vector<SvidCache::Task> tasks = cache_.TakeDue(10);
  ASSERT_EQ(tasks.size(), 1u);
  cache_.Fail(tasks[0]);
  EXPECT_TRUE(cache_.TakeDue(10).empty());
  EXPECT_LE(cache_.NextDue() - clock_.Now(), absl::Seconds(1));
}

TEST_F(SvidCacheTest, WhatTheMeshKnowsIsKeptUntilSomethingNewIsSaid) {
  Set({});
  EXPECT_EQ(cache_.view()->mesh, nullptr);
  mesh_ = std::make_shared<const NodeMesh>(NodeMesh{.version = 3, .rules = {}, .bans = "[bans]"});
  const auto first = mesh_;
  Set({});
  mesh_ = nullptr;
  Set({});
  EXPECT_EQ(cache_.view()->mesh, first);
  mesh_ = std::make_shared<const NodeMesh>();
  Set({});
  EXPECT_EQ(cache_.view()->mesh, first);
  SvidCache restarted(*TrustDomain::Parse("example.org"), clock_, random_);
  restarted.Restore(cache_.Keep());
  EXPECT_EQ(restarted.view()->mesh, first);
  mesh_ = std::make_shared<const NodeMesh>(NodeMesh{.version = 1, .rules = {}, .bans = ""});
  Set({});
  EXPECT_EQ(cache_.view()->mesh, mesh_) << "of a registry that was made anew, which lifts the bans of the one before";
}

TEST_F(SvidCacheTest, OfTooManyEntriesThoseStayThatAreHereAndAllElseIsInForce) {
  Set({Entry("a", "/a"), Entry("b", "/b"), Entry("gone", "/gone")});
  RenewDue(absl::Hours(1));
  const FakeAuthority next(clock_);
  mesh_ = std::make_shared<const NodeMesh>(NodeMesh{
      .version = 4,
      .rules = {},
      .bans = "[bans]",
      .ban_set = BanSet(std::vector<Ban>{{*BanSubject::Parse("serial:" + *SerialOf(1)), "", clock_.Now()}})});
  BundleSet both = authority_.bundles();
  std::vector<Certificate> roots = both.bundles().begin()->second.authorities();
  const BundleSet others = next.bundles();
  for (const Certificate& root : others.bundles().begin()->second.authorities()) roots.push_back(root);
  both.Set(*X509Bundle::Create(*TrustDomain::Parse("example.org"), roots));
  std::vector<WorkloadEntry> entries;
  for (size_t i = 0; i < SvidCache::kMaxEntries; ++i) entries.push_back(Entry("x" + std::to_string(i), "/x"));
  entries.push_back(Entry("a", "/a"));
  entries.push_back(Entry("b", "/b"));
  cache_.SetState({++revision_, entries, both, mesh_});
  EXPECT_EQ(cache_.left_out(), 2u);
  const auto view = cache_.view();
  ASSERT_EQ(view->items.size(), SvidCache::kMaxEntries);
  EXPECT_EQ(view->items.front().entry->id, "x0");
  EXPECT_EQ(view->items[SvidCache::kMaxEntries - 3].entry->id, "x" + std::to_string(SvidCache::kMaxEntries - 3));
  EXPECT_EQ(view->items[SvidCache::kMaxEntries - 2].entry->id, "a");
  EXPECT_TRUE(view->items[SvidCache::kMaxEntries - 2].svid.has_value());
  EXPECT_EQ(view->items[SvidCache::kMaxEntries - 1].entry->id, "b");
  EXPECT_FALSE(view->items[SvidCache::kMaxEntries - 1].svid.has_value()) << "the ban is in force";
  EXPECT_EQ(view->bundles, both) << "the new root is in force";
  EXPECT_EQ(view->mesh, mesh_);
  Set({Entry("a", "/a")});
  EXPECT_EQ(cache_.left_out(), 0u);
}

TEST_F(SvidCacheTest, KnowsTheShortestLifetime) {
  EXPECT_EQ(cache_.ShortestLifetime(), absl::InfiniteDuration());
  Set({Entry("a", "/a"), Entry("b", "/b")});
  for (const SvidCache::Task& task : cache_.TakeDue(2)) {
    ASSERT_TRUE(cache_.Succeed(task, Mint(task, task.entry->id == "a" ? absl::Hours(1) : absl::Seconds(20))).ok());
  }
  EXPECT_EQ(cache_.ShortestLifetime(), absl::Seconds(20));
}

}  // namespace
}  // namespace lanyard
