#include "identity/authority/node_state_proto.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

class NodeStateMessageTest : public testing::Test {
 protected:
  const authority::v1::NodeState& Update() {
    return message_.Update(parts_.registry->snapshot(), *parts_.mesh->snapshot(), parts_.clock.Now());
  }
  static WorkloadPolicy Policy(std::string name, absl::string_view workload) {
    return {std::move(name), {*PeerPattern::Parse(workload)}, {{"a", {80}, {*PeerPattern::Parse("spiffe://td/*")}}}};
  }
  static WorkloadRoutes Routes(std::string name, absl::string_view workload, uint32_t order) {
    return {std::move(name), {*PeerPattern::Parse(workload)}, {{"r", {}, {}, RouteAction::kRefuse, {}}}, order};
  }
  void Apply(std::vector<WorkloadPolicy> policies, std::vector<WorkloadRoutes> routes) {
    const auto applied = parts_.mesh->Apply(std::move(policies), std::move(routes), false);
    ASSERT_TRUE(applied.ok()) << applied.status();
  }
  std::vector<std::string> Policies() {
    std::vector<std::string> names;
    for (const auto& policy : Update().policies()) names.push_back(policy.name());
    return names;
  }

  AuthorityParts parts_;
  const SpiffeId node_ = *AgentId(parts_.trust_domain, "n1");
  NodeStateMessage message_{node_};
};

TEST_F(NodeStateMessageTest, ANodeSeesItsEntriesAndNoOthers) {
  const Entry everywhere = parts_.CreateEntry("/everywhere");
  const Entry here = parts_.CreateEntry("/here", node_.ToString(), absl::Seconds(90));
  parts_.CreateEntry("/there", "spiffe://example.org/lanyard/agent/n2");
  const auto& state = Update();
  ASSERT_EQ(state.entries_size(), 2);
  for (const auto& entry : state.entries()) {
    const Entry& known = entry.id() == here.id() ? here : everywhere;
    EXPECT_EQ(entry.id(), known.id());
    EXPECT_EQ(entry.spiffe_id(), known.spiffe_id().ToString());
    EXPECT_EQ(entry.x509_svid_ttl_seconds(), absl::ToInt64Seconds(known.x509_svid_ttl()));
    ASSERT_EQ(entry.selectors_size(), 1);
    EXPECT_EQ(entry.selectors(0), "unix:uid:1000");
  }
  ASSERT_EQ(state.bundles_size(), 1);
  EXPECT_EQ(state.bundles(0).trust_domain(), "example.org");
  ASSERT_EQ(state.bundles(0).authorities_size(), 1);
  EXPECT_EQ(state.bundles(0).authorities(0), parts_.registry->snapshot()->bundle.authorities()[0].der());
}

TEST_F(NodeStateMessageTest, EntriesComeInTheOrderOfTheirCreation) {
  std::vector<std::string> ids;
  // Drawn at random: that all twelve were in order by chance will not happen.
  for (int i = 0; i < 12; ++i) {
    ids.push_back(parts_.CreateEntry(absl::StrCat("/web/", i)).id());
    parts_.clock.Advance(absl::Microseconds(1));
  }
  ASSERT_FALSE(std::is_sorted(ids.begin(), ids.end())) << "the test would tell nothing";
  std::vector<std::string> shown;
  for (const auto& entry : Update().entries()) shown.push_back(entry.id());
  EXPECT_EQ(shown, ids);
}

TEST_F(NodeStateMessageTest, ANodeSeesTheRulesOfItsEntriesAndNoOthers) {
  parts_.CreateEntry("/ns/web", node_.ToString());
  parts_.CreateEntry("/ns-b/db", node_.ToString());
  parts_.CreateEntry("/other", "spiffe://example.org/lanyard/agent/n2");
  Apply({Policy("exact", "spiffe://example.org/ns/web"), Policy("below", "spiffe://example.org/ns/*"),
         Policy("all", "spiffe://example.org/*"), Policy("other", "spiffe://example.org/other"),
         Policy("parent", "spiffe://example.org/ns"), Policy("longer", "spiffe://example.org/ns/web/*"),
         Policy("elsewhere", "spiffe://other.org/*")},
        {Routes("late", "spiffe://example.org/*", 2), Routes("early", "spiffe://example.org/ns-b/*", 1),
         Routes("none", "spiffe://example.org/other", 0)});
  EXPECT_THAT(Policies(), ElementsAre("all", "below", "exact"));
  ASSERT_EQ(Update().routes_size(), 2);
  EXPECT_EQ(Update().routes(0).name(), "early");
  EXPECT_EQ(Update().routes(1).routes(0).name(), "r");
  EXPECT_EQ(Update().policies(0).rules(0).ports(0), 80u);
}

TEST_F(NodeStateMessageTest, FollowsEveryChange) {
  EXPECT_THAT(Policies(), ElementsAre());
  const uint64_t first = Update().revision();
  Apply({Policy("web", "spiffe://example.org/web")}, {});
  EXPECT_THAT(Policies(), ElementsAre()) << "no entry of that ID yet";
  const uint64_t second = Update().revision();
  EXPECT_GT(second, first);
  const Entry entry = parts_.CreateEntry("/web");
  EXPECT_THAT(Policies(), ElementsAre("web"));
  EXPECT_GT(Update().revision(), second);
  ASSERT_TRUE(parts_.mesh->Delete({"web"}, {}).ok());
  EXPECT_THAT(Policies(), ElementsAre());
  EXPECT_EQ(Update().entries_size(), 1);
}

TEST_F(NodeStateMessageTest, ShowsTheBansInForce) {
  const auto web = *BanSubject::Parse("spiffe://example.org/web");
  const SpiffeId other = *AgentId(parts_.trust_domain, "n2");
  ASSERT_TRUE(parts_.mesh
                  ->RecordIssuances({{"0a", *SpiffeId::Parse("spiffe://example.org/db"), other,
                                      parts_.clock.Now() + absl::Hours(1)}})[0]
                  .ok());
  ASSERT_TRUE(parts_.mesh->AddBan(web, "why", absl::Seconds(10)).ok());
  ASSERT_TRUE(
      parts_.mesh->AddBan(*BanSubject::Parse("agent:" + other.ToString()), "stolen", absl::ZeroDuration()).ok());
  ASSERT_EQ(Update().bans_size(), 3);
  EXPECT_EQ(Update().bans(0).agent(), other.ToString());
  EXPECT_EQ(Update().bans(1).spiffe_id(), "spiffe://example.org/web");
  EXPECT_EQ(Update().bans(2).serial(), "0a");
  EXPECT_EQ(Update().bans(2).reason(), "") << "it would be told once for each SVID";
  EXPECT_EQ(Update().mesh_version(), 3u);
  parts_.clock.Advance(absl::Seconds(10));
  EXPECT_EQ(Update().bans_size(), 2) << "one has ended, dropped or not";
  ASSERT_TRUE(parts_.mesh->RemoveBan(*BanSubject::Parse("agent:" + other.ToString())).ok());
  EXPECT_EQ(Update().bans_size(), 0);
}

TEST_F(NodeStateMessageTest, AsManySerialsAsMayBeBannedFitIntoAMessage) {
  const SpiffeId other = *AgentId(parts_.trust_domain, "n2");
  std::vector<Issuance> issuances;
  for (size_t i = 0; i < MeshRegistry::kMaxIssuedBans; ++i) {
    issuances.push_back({absl::StrCat("ff", absl::Hex(i, absl::kZeroPad16), "00112233445566"),
                         *SpiffeId::Parse("spiffe://example.org/db"), other, parts_.clock.Now() + absl::Hours(1)});
  }
  ASSERT_TRUE(parts_.mesh->RecordIssuances(issuances).back().ok());
  const std::string reason(Ban::kMaxReasonSizeBytes, 'x');
  const auto banned =
      parts_.mesh->AddBan(*BanSubject::Parse("agent:" + other.ToString()), reason, absl::ZeroDuration());
  ASSERT_TRUE(banned.ok()) << banned.status();
  ASSERT_EQ(Update().bans_size(), static_cast<int>(MeshRegistry::kMaxIssuedBans) + 1);
  EXPECT_LT(Update().ByteSizeLong(), MeshRegistry::kMaxBansBytes);
}

TEST(BanSizeTest, ABanTakesNoMoreInAMessageThanTheRegistryCounts) {
  const std::string id = absl::StrCat("spiffe://example.org/", std::string(SpiffeId::kMaxSizeBytes - 21, 'x'));
  const absl::Time time = absl::FromUnixSeconds(4'000'000'000) + absl::Nanoseconds(999'999'000);
  for (const std::string& subject : {id, "agent:" + id, "serial:" + std::string(40, 'f'), std::string("serial:0a")}) {
    for (const size_t reason_size : {size_t{0}, Ban::kMaxReasonSizeBytes}) {
      const Ban ban = {*BanSubject::Parse(subject), std::string(reason_size, 'y'), time, time + MeshRegistry::kMaxBan};
      authority::v1::NodeState state;
      *state.add_bans() = ToProto(ban);
      EXPECT_LE(state.ByteSizeLong(), BanSizeBytes(ban)) << subject.substr(0, 20) << ", reason " << reason_size;
    }
  }
}

}  // namespace
}  // namespace lanyard
