#include "identity/agent/workload_view.h"

#include <gtest/gtest.h>

#include "identity/agent/fake_authority.h"
#include "identity/base/fake_clock.h"

namespace lanyard {
namespace {

class WorkloadViewTest : public testing::Test {
 protected:
  WorkloadViewTest() : view_{.version = 1, .trust_domain = authority_.trust_domain(), .items = {},
                             .bundles = authority_.bundles(), .mesh = nullptr} {}

  void Add(const std::string& id, std::vector<std::string> selectors, absl::Duration lifetime,
           const std::string& hint = "") {
    auto entry = std::make_shared<const WorkloadEntry>(
        WorkloadEntry{.id = id, .spiffe_id = *SpiffeId::Parse("spiffe://example.org/" + id),
                      .selectors = std::move(selectors), .dns_names = {}, .hint = hint});
    std::optional<X509Svid> svid;
    if (lifetime > absl::ZeroDuration()) svid = authority_.Mint(entry->spiffe_id.ToString(), lifetime);
    view_.items.push_back({std::move(entry), std::move(svid)});
  }
  void AddBan(const std::string& subject, absl::Time expires_at = absl::InfiniteFuture()) {
    NodeMesh mesh;
    mesh.ban_set = BanSet(std::vector<Ban>{{*BanSubject::Parse(subject), "leaked key", clock_.Now(), expires_at}});
    view_.mesh = std::make_shared<const NodeMesh>(std::move(mesh));
  }
  absl::StatusOr<WorkloadAnswer> Answer(const SelectorSet& caller) { return AnswerFor(view_, caller, clock_.Now()); }

  FakeClock clock_;
  FakeAuthority authority_{clock_};
  WorkloadView view_;
};

TEST_F(WorkloadViewTest, ACallerNeedsEverySelectorOfAnEntry) {
  Add("web", {"unix:uid:1", "unix:path:/bin/web"}, absl::Hours(1));
  EXPECT_TRUE(absl::IsPermissionDenied(Answer({"unix:uid:1"}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Answer({"unix:path:/bin/web"}).status()));
  const auto answer = Answer({"unix:uid:1", "unix:path:/bin/web", "unix:gid:5"});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->identities.at(0).svid.id().path(), "/web");
  EXPECT_TRUE(answer->complete);
}

TEST_F(WorkloadViewTest, WhoIsRefusedIsToldWhatItIs) {
  Add("web", {"unix:uid:1", "unix:path:/bin/web"}, absl::Hours(1));
  const absl::Status refused = Answer({"unix:uid:1", "unix:gid:2"}).status();
  EXPECT_NE(refused.message().find("which is unix:gid:2 unix:uid:1 (the agent may not read its executable"),
            absl::string_view::npos)
      << refused;
  const absl::Status readable = Answer({"unix:uid:1", "unix:path:/bin/sh"}).status();
  EXPECT_NE(readable.message().find("which is unix:path:/bin/sh unix:uid:1; register"), absl::string_view::npos)
      << readable;
  SelectorSet many = {"unix:path:/bin/sh"};
  for (int gid = 0; gid < 1000; ++gid) many.insert("unix:supplementary_gid:" + std::to_string(gid));
  const absl::Status crowded = Answer(many).status();
  EXPECT_LT(crowded.message().size(), 1000u);
  EXPECT_NE(crowded.message().find(" and more; register"), absl::string_view::npos) << crowded;
}

TEST_F(WorkloadViewTest, NobodyIsDeniedForAMatterOfTheMoment) {
  Add("web", {"unix:uid:1", "unix:user:web"}, absl::Hours(1));
  Add("nobody", {}, absl::Hours(1));
  const auto refusal = [this](const SelectorSet& caller, const SelectorKinds& unknown) {
    return RefusalOf(view_, caller, unknown, Answer(caller).status());
  };
  EXPECT_TRUE(absl::IsPermissionDenied(refusal({"unix:uid:1"}, {})));
  EXPECT_TRUE(absl::IsPermissionDenied(refusal({"unix:uid:1"}, {"unix:group:"})));
  EXPECT_TRUE(absl::IsPermissionDenied(refusal({"unix:uid:2"}, {"unix:user:"}))) << "whatever its name";
  const absl::Status later = refusal({"unix:uid:1"}, {"unix:user:"});
  EXPECT_TRUE(absl::IsUnavailable(later));
  EXPECT_NE(later.message().find("missing: unix:user:"), absl::string_view::npos) << later;
  view_.whole = false;
  EXPECT_TRUE(absl::IsUnavailable(refusal({"unix:uid:2"}, {})));
  EXPECT_TRUE(absl::IsInternal(RefusalOf(view_, {}, {}, absl::InternalError("other"))));
}

TEST_F(WorkloadViewTest, AnEntryWithoutSelectorsMatchesNobody) {
  Add("web", {}, absl::Hours(1));
  EXPECT_TRUE(absl::IsPermissionDenied(Answer({"unix:uid:1"}).status()));
}

TEST_F(WorkloadViewTest, SelectorsAreComparedWhole) {
  Add("web", {"unix:uid:1"}, absl::Hours(1));
  EXPECT_FALSE(Answer({"unix:uid:10", "unix:uid:", "UNIX:UID:1"}).ok());
}

TEST_F(WorkloadViewTest, IdsNeedNoSvidAndAreThereOnce) {
  Add("b", {"unix:uid:1"}, absl::ZeroDuration());
  Add("foreign", {"unix:uid:2"}, absl::Hours(1));
  Add("a", {"unix:uid:1"}, absl::Hours(1));
  Add("b", {"unix:uid:1"}, absl::Hours(1));
  const auto ids = IdsFor(view_, {"unix:uid:1"});
  ASSERT_TRUE(ids.ok());
  ASSERT_EQ(ids->size(), 2u);
  EXPECT_EQ((*ids)[0].path(), "/b");
  EXPECT_EQ((*ids)[1].path(), "/a");
  EXPECT_TRUE(absl::IsPermissionDenied(IdsFor(view_, {"unix:uid:3"}).status()));
}

TEST_F(WorkloadViewTest, AllIdentitiesInTheEntriesOrder) {
  Add("b", {"unix:uid:1"}, absl::Hours(1));
  Add("foreign", {"unix:uid:2"}, absl::Hours(1));
  Add("a", {"unix:uid:1"}, absl::Hours(1));
  const auto answer = Answer({"unix:uid:1"});
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->identities.size(), 2u);
  EXPECT_EQ(answer->identities[0].entry_id, "b");
  EXPECT_EQ(answer->identities[1].entry_id, "a");
}

TEST_F(WorkloadViewTest, ABannedIdIsLeftOutAndNotWaitedFor) {
  Add("a", {"unix:uid:1"}, absl::Hours(1), "internal");
  Add("b", {"unix:uid:1"}, absl::Hours(1), "internal");
  Add("c", {"unix:uid:1"}, absl::ZeroDuration());
  AddBan("spiffe://example.org/a", clock_.Now() + absl::Minutes(1));
  auto answer = Answer({"unix:uid:1"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->identities.size(), 1u);
  EXPECT_EQ(answer->identities[0].entry_id, "b");
  EXPECT_EQ(answer->identities[0].hint, "internal");
  EXPECT_FALSE(answer->complete);
  EXPECT_EQ(IdsFor(view_, {"unix:uid:1"})->size(), 3u) << "its proxy hears of bans all the same";
  view_.items.pop_back();
  EXPECT_TRUE(Answer({"unix:uid:1"})->complete);
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Answer({"unix:uid:1"})->identities.size(), 2u);
}

TEST_F(WorkloadViewTest, WhoHasOnlyBannedIdsIsToldWhy) {
  Add("ns/a", {"unix:uid:1"}, absl::Hours(1));
  Add("ns/b", {"unix:uid:1"}, absl::ZeroDuration());
  AddBan("spiffe://example.org/ns/*");
  const absl::Status refused = Answer({"unix:uid:1"}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_NE(refused.message().find("is banned until it is unbanned: leaked key"), absl::string_view::npos) << refused;
}

TEST_F(WorkloadViewTest, WhatIsMissingOrExpiredIsLeftOutAndSaid) {
  Add("a", {"unix:uid:1"}, absl::Seconds(5));
  Add("b", {"unix:uid:1"}, absl::ZeroDuration());
  const auto first = Answer({"unix:uid:1"});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->identities.size(), 1u);
  EXPECT_FALSE(first->complete);
  clock_.Advance(absl::Seconds(5));
  const auto later = Answer({"unix:uid:1"});
  ASSERT_TRUE(later.ok());
  EXPECT_TRUE(later->identities.empty());
}

TEST_F(WorkloadViewTest, WhatCannotBeHadIsNotWaitedFor) {
  Add("a", {"unix:uid:1"}, absl::Hours(1));
  Add("b", {"unix:uid:1"}, absl::ZeroDuration());
  view_.items[1].failed = true;
  EXPECT_TRUE(Answer({"unix:uid:1"})->complete);
  Add("c", {"unix:uid:1"}, absl::ZeroDuration());
  EXPECT_FALSE(Answer({"unix:uid:1"})->complete);
}

TEST_F(WorkloadViewTest, HintsAreUnique) {
  Add("a", {"unix:uid:1"}, absl::Hours(1), "internal");
  Add("b", {"unix:uid:1"}, absl::Hours(1), "internal");
  Add("c", {"unix:uid:1"}, absl::Hours(1), "external");
  const auto answer = Answer({"unix:uid:1"});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->identities[0].hint, "internal");
  EXPECT_EQ(answer->identities[1].hint, "");
  EXPECT_EQ(answer->identities[2].hint, "external");
}

TEST_F(WorkloadViewTest, TheVersionChangesWithWhatIsSentAndOnlyThen) {
  Add("a", {"unix:uid:1"}, absl::Hours(1), "h");
  const std::string version = Answer({"unix:uid:1"})->Version();
  ++view_.version;
  Add("foreign", {"unix:uid:2"}, absl::Hours(1));
  EXPECT_EQ(Answer({"unix:uid:1"})->Version(), version);
  view_.items[0].svid = authority_.Mint("spiffe://example.org/a", absl::Hours(1));
  const std::string renewed = Answer({"unix:uid:1"})->Version();
  EXPECT_NE(renewed, version);
  authority_.ReplaceRoot(true);
  view_.bundles = authority_.bundles();
  EXPECT_NE(Answer({"unix:uid:1"})->Version(), renewed);
}

TEST_F(WorkloadViewTest, KnowsWhetherHashesAreWanted) {
  Add("a", {"unix:uid:1"}, absl::Hours(1));
  EXPECT_FALSE(WantsSha256(view_));
  Add("b", {"unix:uid:1", "unix:sha256:00"}, absl::Hours(1));
  EXPECT_TRUE(WantsSha256(view_));
  EXPECT_FALSE(WantsSha256(view_, {"unix:uid:2"}));
  EXPECT_TRUE(WantsSha256(view_, {"unix:uid:1"}));
}

}  // namespace
}  // namespace lanyard
