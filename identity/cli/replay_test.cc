#include "identity/cli/replay.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using Outcome = ReplayedTuple::Outcome;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

PeerPattern Pattern(absl::string_view text) { return *PeerPattern::Parse(text); }

ObservedTuple Inbound(const char* peer, uint16_t port, bool allowed) {
  return {.inbound = true, .local_id = "spiffe://td/web", .peer_id = peer, .destination = "", .port = port,
          .captured = true, .allowed = allowed, .rule = "", .count = 1, .seen_by = ""};
}

ObservedTuple Outbound(const char* peer, const char* destination, uint16_t port, bool allowed) {
  return {.inbound = false, .local_id = "spiffe://td/shop", .peer_id = peer, .destination = destination, .port = port,
          .captured = true, .allowed = allowed, .rule = "", .count = 1, .seen_by = ""};
}

RulesFile Rules() {
  const Route mesh = {
      "mesh", {*AddressBlock::Parse("10.0.0.0/8")}, {}, RouteAction::kMutualTls, {Pattern("spiffe://td/web")}};
  const Route metadata = {"metadata", {*AddressBlock::Parse("fd00::/64")}, {80}, RouteAction::kRefuse, {}};
  return {{{"web", {Pattern("spiffe://td/web")}, {{"shop", {80}, {Pattern("spiffe://td/shop")}, false}}}},
          {{"shop", {Pattern("spiffe://td/shop")}, {mesh, metadata}, 0}}};
}

ReplayedTuple One(const ObservedTuple& tuple, const BanSet& bans = {}) {
  return Replay(Rules(), bans, {tuple}, kNow)[0];
}

TEST(Replay, WhatIsDecidedAsBeforeIsUnchanged) {
  const ReplayedTuple allowed = One(Inbound("spiffe://td/shop", 80, true));
  EXPECT_EQ(allowed.outcome, Outcome::kUnchanged);
  EXPECT_EQ(allowed.rule, "web/shop");
  EXPECT_EQ(One(Inbound("spiffe://td/eve", 80, false)).outcome, Outcome::kUnchanged);
  EXPECT_EQ(One(Inbound("", 80, false)).outcome, Outcome::kUnchanged) << "plaintext stays refused";
}

TEST(Replay, WhatChangesNamesTheRuleAndTheReason) {
  const ReplayedTuple denied = One(Inbound("spiffe://td/shop", 81, true));
  EXPECT_EQ(denied.outcome, Outcome::kNewlyDenied);
  EXPECT_EQ(denied.rule, "");
  EXPECT_THAT(denied.reason, HasSubstr("no rule of web allows spiffe://td/shop"));
  const ReplayedTuple allowed = One(Inbound("spiffe://td/shop", 80, false));
  EXPECT_EQ(allowed.outcome, Outcome::kNewlyAllowed);
  EXPECT_EQ(allowed.rule, "web/shop");
  const BanSet bans({{*BanSubject::Parse("spiffe://td/shop"), "stolen", kNow}});
  EXPECT_EQ(One(Inbound("spiffe://td/shop", 80, true), bans).outcome, Outcome::kNewlyDenied);
}

TEST(Replay, OutboundIsDecidedByTheFirstRouteThatMatches) {
  EXPECT_EQ(One(Outbound("spiffe://td/web", "10.1.2.3:80", 80, true)).outcome, Outcome::kUnchanged);
  EXPECT_EQ(One(Outbound("spiffe://td/db", "10.1.2.3:80", 80, true)).outcome, Outcome::kNewlyDenied);
  EXPECT_EQ(One(Outbound("", "[fd00::7]:80", 80, true)).outcome, Outcome::kNewlyDenied);
  EXPECT_EQ(One(Outbound("", "[fd00::7]:81", 81, true)).outcome, Outcome::kNotConcerned);
  EXPECT_EQ(One(Outbound("", "10.1.2.3:80", 80, true)).outcome, Outcome::kUnknown);
  EXPECT_EQ(One(Outbound("", "not an address", 80, true)).outcome, Outcome::kNotConcerned);
}

TEST(Replay, WhatTheseRulesDoNotSpeakOfIsNotConcerned) {
  ObservedTuple other = Inbound("spiffe://td/shop", 80, true);
  other.local_id = "spiffe://td/db";
  EXPECT_EQ(One(other).outcome, Outcome::kNotConcerned);
  other = Inbound("spiffe://td/shop", 80, true);
  other.captured = false;
  EXPECT_EQ(One(other).outcome, Outcome::kNotConcerned);
  other = Inbound("spiffe://td/shop", 80, true);
  other.local_id = "";
  EXPECT_EQ(One(other).outcome, Outcome::kNotConcerned);
}

TEST(AppliedOver, RecordsOfTheSameNameAreReplacedAndOthersStay) {
  RulesFile candidate = {{{"web", {Pattern("spiffe://td/web")}, {}}, {"new", {Pattern("spiffe://td/x")}, {}}}, {}};
  const RulesFile applied = AppliedOver(Rules(), candidate);
  ASSERT_EQ(applied.policies.size(), 2u);
  EXPECT_EQ(applied.policies[0].name, "new");
  EXPECT_TRUE(applied.policies[1].rules.empty());
  EXPECT_EQ(applied.routes.size(), 1u);
}

TEST(SilentOf, WhoSaidNothingOrLongAgoIsNamedWithTheReason) {
  const ObservedProxy heard = {.agent = "a", .agent_connected = true, .spiffe_id = "spiffe://td/web",
                               .reported_at = kNow - absl::Minutes(1), .left_out = 0, .tuples = {}};
  ObservedProxy old = heard, mute = heard, ahead = heard;
  old.reported_at = kNow - absl::Minutes(7);
  mute.reported_at.reset();
  ahead.reported_at = kNow + absl::Minutes(1);
  const ObservedProxy away = {.agent = "b", .agent_connected = false, .spiffe_id = "", .reported_at = {},
                              .left_out = 0, .tuples = {}};
  EXPECT_TRUE(SilentOf({heard, ahead}, kNow).empty());
  const auto silent = SilentOf({heard, old, mute, away}, kNow);
  ASSERT_EQ(silent.size(), 3u);
  EXPECT_THAT(silent[0].reason, HasSubstr("7m"));
  EXPECT_EQ(silent[0].spiffe_id, "spiffe://td/web");
  EXPECT_THAT(silent[1].reason, HasSubstr("has not reported"));
  EXPECT_EQ(silent[2].agent, "b");
  EXPECT_THAT(silent[2].reason, HasSubstr("not connected"));
}

TEST(ParseObserved, ReadsWhatAProxyWrites) {
  const auto tuples = ParseObserved(R"({"observed": [{"direction": "inbound", "local_id": "spiffe://td/web",
      "peer_id": "spiffe://td/shop", "destination": "", "port": 80, "captured": true, "allowed": true, "rule": "r",
      "close_reason": "", "count": 7, "last_seen": "2026-01-01T00:00:00Z"}]})");
  ASSERT_TRUE(tuples.ok()) << tuples.status();
  ASSERT_EQ(tuples->size(), 1u);
  EXPECT_TRUE((*tuples)[0].inbound && (*tuples)[0].captured && (*tuples)[0].allowed);
  EXPECT_EQ((*tuples)[0].port, 80);
  EXPECT_EQ((*tuples)[0].count, 7u);
  EXPECT_EQ((*tuples)[0].last_seen, absl::FromUnixSeconds(1'767'225'600));
}

TEST(ParseObserved, RefusesWhatIsNotAsAProxyWritesIt) {
  for (const char* text : {"", "[]", "{}", R"({"observed": 1})", R"({"observed": [1]})", R"({"observed": [{}]})",
                           R"({"observed": [{"direction": "up"}]})", R"({"observed": [{"direction": 1}]})",
                           R"({"observed": [{"direction": "inbound", "port": 70000}]})",
                           R"({"observed": [{"direction": "inbound", "port": -1}]})",
                           R"({"observed": [{"direction": "inbound", "last_seen": "yesterday"}]})",
                           R"({"observed": [{"direction": "inbound", "rule": "\u001b[2J"}]})",
                           R"({"observed": [{"direction": "inbound", "allowed": "yes"}]})"}) {
    EXPECT_FALSE(ParseObserved(text).ok()) << text;
  }
}

}  // namespace
}  // namespace lanyard
