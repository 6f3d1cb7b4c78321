#include "identity/policy/workload_rules.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }
PeerPattern Pattern(absl::string_view text) { return *PeerPattern::Parse(text); }

WorkloadPolicy Policy(std::string name, absl::string_view workload, std::vector<PolicyRule> rules) {
  return {std::move(name), {Pattern(workload)}, std::move(rules)};
}

PolicyRule Allow(std::string name, absl::string_view peer) { return {std::move(name), {}, {Pattern(peer)}, false}; }

TEST(InboundOf, RulesOfAllPoliciesHoldTogetherUnderJoinedNames) {
  const std::vector<WorkloadPolicy> policies = {
      Policy("one", "spiffe://td/web", {Allow("callers", "spiffe://td/shop")}),
      Policy("other", "spiffe://td/db", {Allow("callers", "spiffe://td/web")}),
      Policy("two", "spiffe://td/*", {Allow("callers", "spiffe://td/probe")}),
  };
  const std::vector<SpiffeId> web = {Id("spiffe://td/web")};
  const std::optional<InboundPolicy> inbound = InboundOf(policies, web);
  ASSERT_TRUE(inbound.has_value());
  ASSERT_EQ(inbound->rules().size(), 2u);
  const SpiffeId shop = Id("spiffe://td/shop"), probe = Id("spiffe://td/probe"), other = Id("spiffe://td/web");
  EXPECT_EQ(inbound->Decide({80, &shop}).rule, "one/callers");
  EXPECT_EQ(inbound->Decide({80, &probe}).rule, "two/callers");
  EXPECT_FALSE(inbound->Decide({80, &other}).allowed);
}

TEST(InboundOf, AWorkloadOfSeveralIdsHasTheRulesOfEach) {
  const std::vector<WorkloadPolicy> policies = {Policy("one", "spiffe://td/a", {Allow("x", "spiffe://td/p")}),
                                                Policy("two", "spiffe://td/b", {Allow("x", "spiffe://td/q")})};
  const std::vector<SpiffeId> both = {Id("spiffe://td/a"), Id("spiffe://td/b")};
  EXPECT_EQ(InboundOf(policies, both)->rules().size(), 2u);
}

TEST(InboundOf, SilenceIsNotTheSameAsNobody) {
  const std::vector<WorkloadPolicy> policies = {Policy("closed", "spiffe://td/web", {})};
  const std::vector<SpiffeId> web = {Id("spiffe://td/web")}, db = {Id("spiffe://td/db")};
  ASSERT_TRUE(InboundOf(policies, web).has_value());
  EXPECT_TRUE(InboundOf(policies, web)->rules().empty());
  EXPECT_FALSE(InboundOf(policies, db).has_value());
}

TEST(RoutesOf, StandInTheOrderOfTheirSets) {
  std::vector<WorkloadRoutes> sets = {
      {"b", {Pattern("spiffe://td/*")}, {{"x", {}, {}, RouteAction::kRefuse, {}}}, 1},
      {"z", {Pattern("spiffe://td/web")}, {{"x", {}, {}, RouteAction::kPassThrough, {}}}, 0},
      {"a", {Pattern("spiffe://td/web")}, {{"x", {}, {}, RouteAction::kRefuse, {}}, {"y", {}, {}, {}, {}}}, 1},
      {"c", {Pattern("spiffe://td/db")}, {{"x", {}, {}, RouteAction::kRefuse, {}}}, 0},
  };
  SortRoutes(sets);
  const std::vector<SpiffeId> web = {Id("spiffe://td/web")};
  std::vector<std::string> names;
  for (const Route &route : RoutesOf(sets, web)) names.push_back(route.name);
  EXPECT_EQ(names, (std::vector<std::string>{"z/x", "a/x", "a/y", "b/x"}));
}

}  // namespace
}  // namespace lanyard
