#include "identity/cli/findings.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Level = Finding::Level;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

auto Problem(const std::string& subject, const std::string& detail) {
  return AllOf(Field(&Finding::level, Level::kProblem), Field(&Finding::subject, subject),
               Field(&Finding::detail, HasSubstr(detail)), Field(&Finding::remedy, Not(IsEmpty())));
}

AuthorityStatus HealthyAuthority() {
  AuthorityStatus status;
  status.trust_domain = "example.org";
  status.now = kNow;
  status.authorities = {
      {"root", "active", "a1", kNow - absl::Hours(1), kNow + absl::Hours(1)},
      {"intermediate", "active", "b2", kNow - absl::Hours(1), kNow + absl::Hours(1)},
      {"intermediate", "retired", "b1", kNow - absl::Hours(4), kNow - absl::Hours(2)},
  };
  return status;
}

TEST(JudgeAuthorityTest, AHealthyOneHasNoProblem) {
  EXPECT_THAT(JudgeAuthority(HealthyAuthority(), kNow), Each(Field(&Finding::level, Level::kGood)));
}

TEST(JudgeAuthorityTest, AnUnreachableOneIsAProblem) {
  EXPECT_THAT(JudgeAuthority(absl::UnavailableError("nobody answers"), kNow),
              Contains(Problem("authority", "nobody answers")));
}

TEST(JudgeAuthorityTest, ClocksThatDifferAreAProblemInEitherDirection) {
  AuthorityStatus status = HealthyAuthority();
  status.now = kNow + absl::Seconds(6);
  EXPECT_THAT(JudgeAuthority(status, kNow), Contains(Problem("clock", "6s behind")));
  status.now = kNow - absl::Seconds(6);
  EXPECT_THAT(JudgeAuthority(status, kNow), Contains(Problem("clock", "6s ahead of")));
}

TEST(JudgeAuthorityTest, AnActiveAuthorityNearItsEndOrPastItIsAProblem) {
  AuthorityStatus status = HealthyAuthority();
  status.authorities[1].not_after = kNow + absl::Minutes(6);
  EXPECT_THAT(JudgeAuthority(status, kNow), Contains(Problem("signing", "b2 expires in 6m")));
  status.authorities[1].not_after = kNow - absl::Seconds(3);
  EXPECT_THAT(JudgeAuthority(status, kNow), Contains(Problem("signing", "b2 expired 3s ago")));
}

TEST(JudgeAuthorityTest, WithoutAnActiveIntermediateNothingCanBeSigned) {
  AuthorityStatus status = HealthyAuthority();
  status.authorities[1].state = "prepared";
  EXPECT_THAT(JudgeAuthority(status, kNow), Contains(Problem("signing", "no active intermediate")));
}

AgentRecord Agent(const std::string& name, bool connected) {
  AgentRecord agent;
  agent.spiffe_id = "spiffe://example.org/lanyard/agent/" + name;
  agent.connected = connected;
  return agent;
}

Ban BanOf(const std::string& name) {
  return {*BanSubject::Parse("agent:spiffe://example.org/lanyard/agent/" + name), "stolen", kNow};
}

TEST(JudgeAgentsTest, OneThatShouldBeConnectedAndIsNotIsAProblem) {
  EXPECT_EQ(JudgeAgents(std::vector<AgentRecord>(), {}, kNow).level, Level::kGood);
  EXPECT_EQ(JudgeAgents({{Agent("a", true), Agent("b", true)}}, {}, kNow).detail, "2 connected");
  EXPECT_THAT(JudgeAgents({{Agent("a", true), Agent("b", false)}}, {}, kNow),
              Problem("agents", "1 of 2 not connected: spiffe://example.org/lanyard/agent/b"));
}

TEST(JudgeAgentsTest, ABannedOneIsNotedConnectedOrNot) {
  const Finding finding = JudgeAgents({{Agent("a", true), Agent("b", false)}}, {BanOf("b")}, kNow);
  EXPECT_EQ(finding.level, Level::kNote);
  EXPECT_THAT(finding.detail, HasSubstr("1 connected; banned: spiffe://example.org/lanyard/agent/b"));
  EXPECT_THAT(JudgeAgents({{Agent("a", false), Agent("b", false)}}, {BanOf("b")}, kNow),
              Problem("agents", "1 of 2 not connected"));
}

TEST(JudgeAgentsTest, ManyAreNamedInPart) {
  std::vector<AgentRecord> agents;
  for (int i = 0; i < 9; ++i) agents.push_back(Agent(absl::StrCat("n", i), false));
  EXPECT_THAT(JudgeAgents(agents, {}, kNow).detail, HasSubstr("n4 and 4 more"));
}

NodeRecord Node(bool connected, const std::string& error) {
  return {"1", "spiffe://example.org/lanyard/agent/a", "authority:7443", connected, kNow - absl::Seconds(20), error};
}

TEST(JudgeNodeTest, OnlyOneThatIsConnectedIsGood) {
  EXPECT_EQ(JudgeNode(Node(true, ""), kNow).level, Level::kGood);
  EXPECT_THAT(JudgeNode(Node(false, "it is banned"), kNow), Problem("node", "not connected to the authority"));
  EXPECT_THAT(JudgeNode(Node(false, "it is banned"), kNow).detail, HasSubstr("): it is banned"));
  EXPECT_THAT(JudgeNode(Node(true, "2 entries are left out"), kNow), Problem("node", "but: 2 entries are left out"));
  EXPECT_THAT(JudgeNode(absl::DeadlineExceededError("too late"), kNow), Problem("node", "too late"));
  EXPECT_EQ(JudgeNode(absl::UnimplementedError("who?"), kNow).level, Level::kNote);
}

class JudgeIdentityTest : public ::testing::Test {
 protected:
  std::vector<Finding> Judge(const absl::StatusOr<WorkloadIdentity>& identity) {
    return JudgeIdentity(identity, "unix:///run/a.sock", 7, kNow);
  }
  WorkloadIdentity Identity(const BundleSet& bundles) {
    const FakeLeaf leaf = root_.Leaf("spiffe://example.org/web", {kNow - absl::Hours(1), kNow + absl::Hours(1)});
    return {{leaf.Svid()}, bundles, {}};
  }
  FakeCa root_ = FakeCa::Root("example.org", {kNow - absl::Hours(2), kNow + absl::Hours(2)});
};

TEST_F(JudgeIdentityTest, AnSvidThatVerifiesIsGood) {
  EXPECT_THAT(Judge(Identity(root_.Bundles())), Each(Field(&Finding::level, Level::kGood)));
}

TEST_F(JudgeIdentityTest, AnSvidThatTheBundleDoesNotVerifyIsAProblem) {
  const FakeCa other = FakeCa::Root("example.org", {kNow - absl::Hours(2), kNow + absl::Hours(2)});
  EXPECT_THAT(Judge(Identity(other.Bundles())), Contains(Problem("identity", "spiffe://example.org/web")));
}

TEST_F(JudgeIdentityTest, HavingNoEntryIsNoFailure) {
  const std::vector<Finding> findings = Judge(absl::PermissionDeniedError("no identity issued"));
  EXPECT_THAT(findings, Contains(Field(&Finding::level, Level::kNote)));
  EXPECT_THAT(findings, Not(Contains(Field(&Finding::level, Level::kProblem))));
}

TEST_F(JudgeIdentityTest, AnAgentThatDoesNotAnswerIsAProblem) {
  EXPECT_THAT(Judge(absl::UnavailableError("refused")), Contains(Problem("agent", "unix:///run/a.sock: refused")));
}

TEST(JudgeProxyTest, OnlyReadyIsGood) {
  EXPECT_EQ(JudgeProxy(AdminAnswer{200, "ready\n"}, "127.0.0.1:1").level, Level::kGood);
  EXPECT_THAT(JudgeProxy(AdminAnswer{503, "no identity\n"}, "127.0.0.1:1"), Problem("proxy", "503 no identity"));
  EXPECT_THAT(JudgeProxy(absl::UnavailableError("refused"), "127.0.0.1:1"), Problem("proxy", "refused"));
}

TEST(JudgeCaptureTest, AbsentRulesAreAProblemAndInvisibleOnesANote) {
  EXPECT_EQ(JudgeCapture(true).level, Level::kGood);
  EXPECT_THAT(JudgeCapture(false), Problem("capture", "bypass the proxy"));
  EXPECT_EQ(JudgeCapture(absl::PermissionDeniedError("")).level, Level::kNote);
}

TEST(JudgeConfigurationTest, AFileThatWasRefusedIsAProblemBeforeTheNextRestart) {
  const auto judge = [](const std::string& body) { return JudgeConfiguration(AdminAnswer{200, body}); };
  EXPECT_THAT(judge(R"({"configuration_refused": "routes[0]: mistaken"})"),
              Contains(Problem("configuration", "routes[0]: mistaken")));
  EXPECT_THAT(judge(R"({"configuration_refused": null})"), Contains(Field(&Finding::level, Level::kGood)));
  EXPECT_THAT(judge("{}"), IsEmpty()) << "an older proxy does not say";
  EXPECT_THAT(judge("<html>"), IsEmpty());
  EXPECT_THAT(JudgeConfiguration(absl::UnavailableError("gone")), IsEmpty());
}

TEST(JudgeCaptureInForceTest, WhatCaptureCheckFindsIsSaidOrAllIsWell) {
  const Finding good = {Level::kGood, "rules", "in force", ""}, note = {Level::kNote, "probe", "not tried", "x"},
                bad = {Level::kProblem, "probe", "was refused", "start it"};
  EXPECT_THAT(JudgeCaptureInForce({good, note}), Each(Field(&Finding::level, Level::kGood)));
  EXPECT_THAT(JudgeCaptureInForce({good, bad, note}), ElementsAre(Problem("capture", "probe: was refused")));
}

Finding ViewFinding(const std::string& mesh,
                    const std::string& versions = R"("version": 3, "acknowledged_version": 3)") {
  return JudgeView(AdminAnswer{200, absl::StrCat("{", versions, R"(, "mesh": )", mesh, "}")});
}

TEST(JudgeView, AProxyThatFollowsTheMeshIsGood) {
  const Finding good = ViewFinding(R"({"connected": true, "view_version": 7, "applied_version": 7, "refused": null})");
  EXPECT_EQ(good.level, Finding::Level::kGood);
  EXPECT_THAT(good.detail, HasSubstr("view 7"));
  EXPECT_EQ(ViewFinding("null").level, Finding::Level::kGood) << "a proxy that has no mesh";
}

TEST(JudgeView, StaleBehindAndRefusedAreProblems) {
  const Finding stale =
      ViewFinding(R"({"connected": false, "view_version": 7, "applied_version": 7, "source": "disk",
                      "last_error": "gone"})");
  EXPECT_EQ(stale.level, Finding::Level::kProblem);
  EXPECT_THAT(stale.detail, HasSubstr("stale: the proxy works with view 7 from disk"));
  EXPECT_THAT(stale.detail, HasSubstr("gone"));
  const Finding refused = ViewFinding(
      R"({"connected": true, "view_version": 7, "applied_version": 6,
          "refused": {"version": 8, "error": "no such peer"}})");
  EXPECT_EQ(refused.level, Finding::Level::kProblem);
  EXPECT_THAT(refused.detail, HasSubstr("refused view 8 and keeps 6: no such peer"));
  EXPECT_THAT(ViewFinding(R"({"connected": true, "view_version": 7, "applied_version": 6})").detail,
              HasSubstr("behind"));
  EXPECT_THAT(ViewFinding(R"({"connected": true, "view_version": 7, "applied_version": 7})",
                          R"("version": 4, "acknowledged_version": 3)")
                  .detail,
              HasSubstr("behind"));
}

TEST(JudgeView, WhatIsNotAViewIsNoted) {
  EXPECT_EQ(JudgeView(absl::UnavailableError("gone")).level, Finding::Level::kNote);
  EXPECT_EQ(JudgeView(AdminAnswer{200, "<html>"}).level, Finding::Level::kNote);
  EXPECT_EQ(JudgeView(AdminAnswer{404, "{}"}).level, Finding::Level::kNote);
  EXPECT_EQ(ViewFinding(R"({"connected": "yes"})").level, Finding::Level::kProblem);
}

}  // namespace
}  // namespace lanyard
