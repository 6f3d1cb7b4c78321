#include "identity/cli/decision.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }
PeerPattern Pattern(absl::string_view text) { return *PeerPattern::Parse(text); }

std::vector<WorkloadPolicy> Policies() {
  return {{"web",
           {Pattern("spiffe://td/web")},
           {{"shop", {80, 443}, {Pattern("spiffe://td/shop")}, false}, {"probes", {9000}, {}, true}}},
          {"all", {Pattern("spiffe://td/*")}, {{"admin", {}, {Pattern("spiffe://td/admin/*")}, false}}},
          {"other", {Pattern("spiffe://td/db")}, {{"anybody", {}, {Pattern("spiffe://td/*")}, false}}}};
}

Call CallOf(const char* peer, uint16_t port, const char* workload = "spiffe://td/web") {
  Call call{Id(workload), port, std::nullopt};
  if (peer != nullptr) call.peer = Id(peer);
  return call;
}

BanSet Bans(const char* subject) { return BanSet({{*BanSubject::Parse(subject), "stolen", kNow}}); }

TEST(Decide, NamesThePolicyAndTheRuleThatAllow) {
  const CallDecision decision = Decide(Policies(), BanSet(), CallOf("spiffe://td/shop", 80), kNow);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.policy, "web");
  EXPECT_EQ(decision.rule, "shop");
  EXPECT_THAT(decision.reason, StartsWith("allowed: rule web/shop allows spiffe://td/shop to spiffe://td/web"));
  EXPECT_EQ(Decide(Policies(), BanSet(), CallOf("spiffe://td/admin/eve", 22), kNow).policy, "all");
  EXPECT_EQ(Decide(Policies(), BanSet(), CallOf(nullptr, 9000), kNow).rule, "probes");
}

TEST(Decide, SaysOfEachRuleWhyItDoesNotAllow) {
  const CallDecision decision = Decide(Policies(), BanSet(), CallOf("spiffe://td/db", 80), kNow);
  EXPECT_FALSE(decision.allowed);
  EXPECT_THAT(decision.reason, StartsWith("denied: no rule of web, all allows spiffe://td/db to"));
  ASSERT_EQ(decision.considered.size(), 3u) << "the policy of another workload is not looked at";
  EXPECT_EQ(decision.considered[0].reason, "it does not name this peer");
  EXPECT_EQ(decision.considered[1].reason, "it is for port 9000");
  EXPECT_EQ(Decide(Policies(), BanSet(), CallOf(nullptr, 80), kNow).considered[0].reason,
            "it does not allow plaintext");
  EXPECT_EQ(Decide(Policies(), BanSet(), CallOf("spiffe://td/x", 9000), kNow).considered[1].reason,
            "it names no peers");
  EXPECT_EQ(Decide(Policies(), BanSet(), CallOf("spiffe://td/shop", 22), kNow).considered[0].reason,
            "it is for ports 80, 443");
}

TEST(Decide, ABanIsAboveEveryRule) {
  for (const char* subject : {"spiffe://td/shop", "spiffe://td/*", "spiffe://td/web"}) {
    const CallDecision decision = Decide(Policies(), Bans(subject), CallOf("spiffe://td/shop", 80), kNow);
    EXPECT_FALSE(decision.allowed) << subject;
    EXPECT_THAT(decision.reason, HasSubstr("is banned until it is unbanned: stolen"));
    EXPECT_TRUE(decision.considered[0].allows) << "what would hold without it";
  }
  EXPECT_TRUE(Decide(Policies(), Bans("spiffe://td/db"), CallOf("spiffe://td/shop", 80), kNow).allowed);
}

TEST(Decide, WhereNoPolicySpeaksNothingIsKnown) {
  const CallDecision decision = Decide(Policies(), BanSet(), CallOf("spiffe://td/shop", 80, "spiffe://x/web"), kNow);
  EXPECT_FALSE(decision.allowed);
  EXPECT_THAT(decision.reason, HasSubstr("no policy of the registry speaks of spiffe://x/web"));
}

TEST(Decide, ABanOfTheSerialOrTheAgentCountsForWhoNamesThem) {
  Call call = CallOf("spiffe://td/shop", 80);
  EXPECT_TRUE(Decide(Policies(), Bans("serial:0a1b"), call, kNow).allowed);
  call.serial = "0a1b";
  EXPECT_FALSE(Decide(Policies(), Bans("serial:0a1b"), call, kNow).allowed);
  const BanSet agents = Bans("agent:spiffe://td/lanyard/agent/web-1");
  EXPECT_TRUE(Decide(Policies(), agents, call, kNow).allowed);
  call.agent = Id("spiffe://td/lanyard/agent/web-1");
  EXPECT_THAT(Decide(Policies(), agents, call, kNow).reason, HasSubstr("stolen"));
  call.agent = Id("spiffe://td/lanyard/agent/web-2");
  EXPECT_TRUE(Decide(Policies(), agents, call, kNow).allowed);
}

}  // namespace
}  // namespace lanyard
