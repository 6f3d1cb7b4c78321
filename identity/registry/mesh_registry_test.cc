#include "identity/registry/mesh_registry.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/registry/fake_store.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using What = ApplyOutcome::What;

SpiffeId Id(absl::string_view path) { return *SpiffeId::Parse(absl::StrCat("spiffe://example.org", path)); }
BanSubject Subject(absl::string_view text) { return *BanSubject::Parse(text); }
const SpiffeId kAgent = Id("/lanyard/agent/n1");
constexpr char kAgentSubject[] = "agent:spiffe://example.org/lanyard/agent/n1";

WorkloadPolicy Policy(std::string name, std::string peer = "spiffe://example.org/shop") {
  return {std::move(name),
          {*PeerPattern::Parse("spiffe://example.org/web")},
          {{"callers", {80}, {*PeerPattern::Parse(peer)}, false}}};
}
WorkloadRoutes Routes(std::string name) {
  return {
      std::move(name), {*PeerPattern::Parse("spiffe://example.org/*")}, {{"all", {}, {}, RouteAction::kRefuse, {}}}};
}

class MeshRegistryTest : public testing::Test {
 protected:
  MeshRegistryTest() { Reopen(); }

  void Reopen() {
    auto opened = MeshRegistry::Open(*TrustDomain::Parse("example.org"), store_, clock_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    mesh_ = *std::move(opened);
    mesh_->SetOnChange([this] { ++changes_; });
  }
  uint64_t Version() { return mesh_->snapshot()->version; }
  Issuance Issued(const std::string& serial, const SpiffeId& id = Id("/web")) {
    return {serial, id, kAgent, clock_.Now() + absl::Hours(1)};
  }
  std::vector<std::string> IssuedBansOf(const SpiffeId& agent) {
    std::vector<std::string> subjects;
    const auto snapshot = mesh_->snapshot();
    const auto found = snapshot->issued->find(agent);
    if (found == snapshot->issued->end()) return subjects;
    for (const Ban& ban : found->second) subjects.push_back(ban.subject.ToString());
    return subjects;
  }

  FakeClock clock_;
  FakeStore store_;
  std::unique_ptr<MeshRegistry> mesh_;
  int changes_ = 0;
};

TEST_F(MeshRegistryTest, AppliedRecordsAreInTheSnapshotAndAfterARestart) {
  const auto outcomes = mesh_->Apply({Policy("web")}, {Routes("out")}, false);
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  ASSERT_EQ(outcomes->size(), 2u);
  EXPECT_EQ((*outcomes)[0].what, What::kCreated);
  EXPECT_EQ((*outcomes)[1].kind, ApplyOutcome::Kind::kRoute);
  EXPECT_EQ(changes_, 1) << "one change, however many records";
  const uint64_t version = Version();
  Reopen();
  EXPECT_EQ(Version(), version);
  EXPECT_EQ(mesh_->snapshot()->rules->policies.at("web").policy, Policy("web"));
  EXPECT_EQ(mesh_->snapshot()->rules->routes.at("out").routes, Routes("out"));
}

TEST_F(MeshRegistryTest, UnchangedContentKeepsItsVersion) {
  ASSERT_TRUE(mesh_->Apply({Policy("a"), Policy("b")}, {}, false).ok());
  const uint64_t before = Version();
  const auto same = mesh_->Apply({Policy("a")}, {}, false);
  EXPECT_EQ(same->front().what, What::kUnchanged);
  EXPECT_EQ(same->front().version, before);
  EXPECT_EQ(Version(), before);
  EXPECT_EQ(changes_, 1);
  const auto changed = mesh_->Apply({Policy("a", "spiffe://example.org/*"), Policy("b")}, {}, false);
  EXPECT_EQ((*changed)[0].what, What::kChanged);
  EXPECT_GT((*changed)[0].version, before);
  EXPECT_EQ((*changed)[1].version, before);
  EXPECT_EQ(mesh_->snapshot()->rules->policies.at("b").version, before);
}

TEST_F(MeshRegistryTest, ADryRunSaysWhatWouldChange) {
  const auto outcomes = mesh_->Apply({Policy("web")}, {}, true);
  EXPECT_EQ(outcomes->front().what, What::kCreated);
  EXPECT_TRUE(mesh_->snapshot()->rules->policies.empty());
  EXPECT_EQ(changes_, 0);
}

TEST_F(MeshRegistryTest, DeletesAllOrNothing) {
  ASSERT_TRUE(mesh_->Apply({Policy("a"), Policy("b")}, {Routes("out")}, false).ok());
  const absl::Status missing = mesh_->Delete({"a"}, {"nowhere"});
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("no route set named nowhere"));
  EXPECT_EQ(mesh_->snapshot()->rules->policies.size(), 2u);
  ASSERT_TRUE(mesh_->Delete({"a"}, {"out"}).ok());
  Reopen();
  EXPECT_EQ(mesh_->snapshot()->rules->policies.size(), 1u);
  EXPECT_TRUE(mesh_->snapshot()->rules->routes.empty());
}

TEST_F(MeshRegistryTest, AStoreThatFailsChangesNothing) {
  store_.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(absl::IsResourceExhausted(mesh_->Apply({Policy("web")}, {}, false).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(mesh_->AddBan(Subject("serial:0a"), "", absl::ZeroDuration()).status()));
  EXPECT_EQ(Version(), 1u);
  EXPECT_EQ(changes_, 0);
  EXPECT_TRUE(mesh_->CheckAgent(kAgent, "0a").ok());
}

TEST_F(MeshRegistryTest, PoliciesHaveALimit) {
  std::vector<WorkloadPolicy> many;
  for (size_t i = 0; i < MeshRegistry::kMaxPolicies; ++i) many.push_back(Policy(absl::StrCat("p", i)));
  ASSERT_TRUE(mesh_->Apply(many, {}, false).ok());
  const absl::Status full = mesh_->Apply({Policy("more")}, {}, false).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_THAT(std::string(full.message()), HasSubstr("10000 policies, its limit"));
  EXPECT_TRUE(mesh_->Apply({Policy("p0", "spiffe://example.org/*")}, {}, false).ok());
}

TEST_F(MeshRegistryTest, ABannedIdIsRefusedAndAnUnbannedOneIsNot) {
  const auto banned = mesh_->AddBan(Subject("spiffe://example.org/web"), "stolen", absl::ZeroDuration());
  ASSERT_TRUE(banned.ok()) << banned.status();
  EXPECT_EQ(banned->version, Version());
  const absl::Status refused = mesh_->CheckIssuing(Id("/web"));
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is banned until it is unbanned: stolen"));
  EXPECT_TRUE(mesh_->CheckIssuing(Id("/db")).ok());
  ASSERT_TRUE(mesh_->RemoveBan(Subject("spiffe://example.org/web")).ok());
  EXPECT_TRUE(mesh_->CheckIssuing(Id("/web")).ok());
  EXPECT_GT(Version(), banned->version);
  EXPECT_TRUE(absl::IsNotFound(mesh_->RemoveBan(Subject("spiffe://example.org/web"))));
}

TEST_F(MeshRegistryTest, ABanSurvivesARestartAndIsReplacedByTheNext) {
  const auto first = mesh_->AddBan(Subject("spiffe://example.org/web"), "one", absl::ZeroDuration());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->replaced, std::nullopt);
  const auto second = mesh_->AddBan(Subject("spiffe://example.org/web"), "two", absl::Hours(1));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->replaced, first->ban) << "whoever asked is told what is no more";
  Reopen();
  ASSERT_EQ(mesh_->snapshot()->bans->all().size(), 1u);
  EXPECT_EQ(mesh_->snapshot()->bans->all()[0].reason, "two");
  EXPECT_EQ(mesh_->NextBanExpiry(), mesh_->snapshot()->bans->all()[0].created_at + absl::Hours(1));
}

TEST_F(MeshRegistryTest, EndedBansVanishByThemselves) {
  ASSERT_TRUE(mesh_->AddBan(Subject("spiffe://example.org/web"), "", absl::Seconds(10)).ok());
  ASSERT_TRUE(mesh_->AddBan(Subject("spiffe://example.org/db"), "", absl::ZeroDuration()).ok());
  const uint64_t version = Version();
  ASSERT_TRUE(mesh_->DropEndedBans().ok());
  EXPECT_EQ(Version(), version) << "none has ended";
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(mesh_->CheckIssuing(Id("/web")).ok()) << "before it is dropped, too";
  ASSERT_TRUE(mesh_->DropEndedBans().ok());
  EXPECT_GT(Version(), version);
  EXPECT_EQ(mesh_->NextBanExpiry(), absl::InfiniteFuture());
  Reopen();
  EXPECT_EQ(mesh_->snapshot()->bans->all().size(), 1u);
}

TEST_F(MeshRegistryTest, ABanSharesTheRules) {
  ASSERT_TRUE(mesh_->Apply({Policy("web")}, {}, false).ok());
  const auto before = mesh_->snapshot();
  ASSERT_TRUE(mesh_->AddBan(Subject("serial:0a"), "", absl::ZeroDuration()).ok());
  EXPECT_EQ(mesh_->snapshot()->rules, before->rules);
}

TEST_F(MeshRegistryTest, BansThatWouldFitInNoMessageAreRefused) {
  // As an earlier program may have stored them.
  MeshChange change{.version = 1};
  for (size_t i = 0, size = 0; size <= MeshRegistry::kMaxBansBytes; ++i) {
    const std::string path = absl::StrCat("/", i, std::string(1900, 'x'));
    change.put_bans.push_back({Subject(Id(path).ToString()), std::string(200, 'y'), clock_.Now()});
    size += BanSizeBytes(change.put_bans.back());
  }
  ASSERT_TRUE(store_.ChangeMesh(change).ok());
  Reopen();
  const absl::Status refused = mesh_->AddBan(Subject("serial:0a"), "", absl::ZeroDuration()).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("unban some first"));
  EXPECT_EQ(Version(), 1u);
  EXPECT_EQ(store_.ListMeshRecords()->version, 1u);
  for (size_t i : {0, 1}) ASSERT_TRUE(mesh_->RemoveBan(change.put_bans[i].subject).ok()) << "that always fits";
  EXPECT_TRUE(mesh_->AddBan(Subject("serial:0a"), "", absl::ZeroDuration()).ok());
}

TEST_F(MeshRegistryTest, AgentsAreBannedAsAgents) {
  const absl::Status by_id =
      mesh_->AddBan(Subject("spiffe://example.org/lanyard/agent/n1"), "", absl::ZeroDuration()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(by_id));
  EXPECT_THAT(std::string(by_id.message()), HasSubstr("agent:spiffe://example.org/lanyard/agent/NODE"));
  EXPECT_FALSE(mesh_->AddBan(Subject("spiffe://example.org/lanyard/*"), "", absl::ZeroDuration()).ok());
  EXPECT_FALSE(mesh_->AddBan(Subject("agent:spiffe://example.org/web"), "", absl::ZeroDuration()).ok());
  EXPECT_FALSE(mesh_->AddBan(Subject("agent:spiffe://other.org/lanyard/agent/n1"), "", absl::ZeroDuration()).ok());
  EXPECT_FALSE(mesh_->AddBan(Subject("serial:0a"), "", -absl::Seconds(1)).ok());
  EXPECT_FALSE(mesh_->AddBan(Subject("serial:0a"), "", MeshRegistry::kMaxBan + absl::Seconds(1)).ok());
}

TEST_F(MeshRegistryTest, AWildcardLeavesTheAgents) {
  ASSERT_TRUE(mesh_->AddBan(Subject("spiffe://example.org/*"), "", absl::ZeroDuration()).ok());
  EXPECT_FALSE(mesh_->CheckIssuing(Id("/web")).ok());
  EXPECT_TRUE(mesh_->CheckIssuing(kAgent).ok());
  EXPECT_TRUE(mesh_->CheckAgent(kAgent, "0a").ok());
}

TEST_F(MeshRegistryTest, ABannedAgentMeansWhatWasIssuedThroughIt) {
  ASSERT_TRUE(mesh_->RecordIssuances({Issued("0a"), Issued("0b")})[1].ok());
  Issuance other = Issued("0c");
  other.agent = Id("/lanyard/agent/n2");
  ASSERT_TRUE(mesh_->RecordIssuances({other})[0].ok());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::Hours(2)).ok());
  EXPECT_THAT(IssuedBansOf(kAgent), testing::ElementsAre("serial:0a", "serial:0b"));
  EXPECT_EQ(mesh_->snapshot()->issued->at(kAgent)[0].expires_at, clock_.Now() + absl::Hours(1)) << "the SVID's end";
  EXPECT_FALSE(mesh_->CheckAgent(kAgent, "").ok());
  EXPECT_FALSE(mesh_->CheckIssuing(kAgent).ok());
  Reopen();
  EXPECT_THAT(IssuedBansOf(kAgent), testing::ElementsAre("serial:0a", "serial:0b"));
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(mesh_->AddBan(Subject("serial:ff"), "", absl::ZeroDuration()).ok());
  EXPECT_THAT(IssuedBansOf(kAgent), testing::IsEmpty()) << "they have expired";
  ASSERT_TRUE(mesh_->RemoveBan(Subject(kAgentSubject)).ok());
  EXPECT_TRUE(mesh_->CheckAgent(kAgent, "").ok());
}

TEST_F(MeshRegistryTest, AShorterBanOfAnAgentShortensItsSerials) {
  ASSERT_TRUE(mesh_->RecordIssuances({Issued("0a")})[0].ok());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::ZeroDuration()).ok());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::Minutes(1)).ok());
  EXPECT_EQ(mesh_->snapshot()->issued->at(kAgent)[0].expires_at, clock_.Now() + absl::Minutes(1));
}

TEST_F(MeshRegistryTest, ARegistryMadeAnewSaysThatNobodyIsBanned) {
  EXPECT_EQ(Version(), 1u) << "0 would mean: nothing is known, keep what another authority said";
  ASSERT_TRUE(mesh_->AddBan(Subject("serial:0a"), "", absl::ZeroDuration()).ok());
  EXPECT_EQ(Version(), 2u);
  Reopen();
  EXPECT_EQ(Version(), 2u);
}

TEST_F(MeshRegistryTest, NoAgentHasSoManySvidsThatItOrAnotherCannotBeBanned) {
  const SpiffeId other = Id("/lanyard/agent/n2");
  const BanSubject other_subject = Subject("agent:" + other.ToString());
  std::vector<Issuance> many;
  for (size_t i = 0; i <= MeshRegistry::kMaxIssuedBans; ++i) {
    many.push_back(Issued(absl::StrCat(absl::Hex(i, absl::kZeroPad8))));
  }
  many[70'000].not_after -= absl::Minutes(1);
  const BanSubject first_to_end = Subject("serial:" + many[70'000].serial);
  many.push_back(Issued("ff00ff00ff"));
  many.back().agent = other;
  ASSERT_TRUE(mesh_->RecordIssuances(many).back().ok());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(mesh_->CheckAgent(kAgent, "")));
  EXPECT_EQ(mesh_->snapshot()->unnamed, 1u);
  const auto snapshot = mesh_->snapshot();
  const std::vector<Ban>& named = snapshot->issued->at(kAgent);
  EXPECT_EQ(named.size(), MeshRegistry::kMaxIssuedBans);
  for (const Ban& ban : named) ASSERT_NE(ban.subject, first_to_end);
  ASSERT_TRUE(mesh_->AddBan(other_subject, "", absl::ZeroDuration()).ok());
  EXPECT_THAT(IssuedBansOf(other), testing::ElementsAre("serial:ff00ff00ff")) << "each agent has its share";
  EXPECT_EQ(mesh_->snapshot()->unnamed, 2u);
  ASSERT_TRUE(mesh_->RemoveBan(other_subject).ok());
  EXPECT_EQ(mesh_->snapshot()->unnamed, 1u) << "what was left out has room now";
}

TEST_F(MeshRegistryTest, WhatWasSignedBeforeABanDoesNotLeaveAfterIt) {
  ASSERT_TRUE(mesh_->AddBan(Subject("spiffe://example.org/web"), "", absl::ZeroDuration()).ok());
  const auto statuses = mesh_->RecordIssuances({Issued("0a"), Issued("0b", Id("/db"))});
  EXPECT_TRUE(absl::IsPermissionDenied(statuses[0]));
  EXPECT_TRUE(statuses[1].ok());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::ZeroDuration()).ok());
  EXPECT_THAT(IssuedBansOf(kAgent), testing::ElementsAre("serial:0b"));
  EXPECT_TRUE(absl::IsPermissionDenied(mesh_->RecordIssuances({Issued("0c", Id("/db"))})[0]));
}

TEST_F(MeshRegistryTest, AFullDiskDoesNotEndIssuingAndLosesNoSerial) {
  store_.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(mesh_->RecordIssuances({Issued("0a")})[0].ok());
  store_.FailWith(absl::OkStatus());
  ASSERT_TRUE(mesh_->AddBan(Subject(kAgentSubject), "", absl::ZeroDuration()).ok());
  EXPECT_THAT(IssuedBansOf(kAgent), testing::ElementsAre("serial:0a"));
  ASSERT_TRUE(mesh_->RemoveBan(Subject(kAgentSubject)).ok());
  ASSERT_TRUE(mesh_->RecordIssuances({Issued("0b")})[0].ok());
  EXPECT_EQ(store_.ListIssuances(kAgent, clock_.Now())->size(), 2u);
}

TEST_F(MeshRegistryTest, WhatCannotBeRecordedIsNotIssuedForEver) {
  store_.FailWith(absl::ResourceExhaustedError("disk full"));
  std::vector<Issuance> many;
  for (size_t i = 0; i < MeshRegistry::kMaxUnrecorded; ++i) many.push_back(Issued(absl::StrCat("s", i)));
  EXPECT_TRUE(mesh_->RecordIssuances(many)[0].ok());
  const absl::Status refused = mesh_->RecordIssuances({Issued("0a")})[0];
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("disk full"));
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(mesh_->RecordIssuances({Issued("0b")})[0].ok()) << "the others have expired";
}

}  // namespace
}  // namespace lanyard
