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

class JudgeIdentityTest : public ::testing::Test {
 protected:
  std::vector<Finding> Judge(const absl::StatusOr<WorkloadIdentity>& identity) {
    return JudgeIdentity(identity, "unix:///run/a.sock", 7, kNow);
  }
  WorkloadIdentity Identity(const BundleSet& bundles) {
    const FakeLeaf leaf = root_.Leaf("spiffe://example.org/web", {kNow - absl::Hours(1), kNow + absl::Hours(1)});
    return {{leaf.Svid()}, bundles};
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
