#include "identity/registry/mesh_rules_proto.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000) + absl::Microseconds(7);

PeerPattern Pattern(absl::string_view text) { return *PeerPattern::Parse(text); }

TEST(MeshRulesProto, ARecordSurvivesItsText) {
  const PolicyRecord policy{
      {"web", {Pattern("spiffe://td/web")}, {{"shop", {80}, {Pattern("spiffe://td/shop/*")}, true}}}, 7, kNow};
  const auto read = PolicyFromText(ToText(policy));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, policy);
  const RoutesRecord routes{
      {"out",
       {Pattern("spiffe://td/*")},
       {{"db", {*AddressBlock::Parse("10.0.0.0/8")}, {5432}, RouteAction::kMutualTls, {Pattern("spiffe://td/db")}}},
       3},
      9,
      kNow};
  const auto routes_read = RoutesFromText(ToText(routes));
  ASSERT_TRUE(routes_read.ok()) << routes_read.status();
  EXPECT_EQ(*routes_read, routes);
}

TEST(MeshRulesProto, DamagedTextIsAnErrorWithItsReason) {
  EXPECT_FALSE(PolicyFromText("{").ok());
  EXPECT_FALSE(RoutesFromText("").ok());
  EXPECT_THAT(std::string(PolicyFromText("{\"name\":\"web\"}").status().message()), HasSubstr("policy.workloads"));
  EXPECT_THAT(std::string(RoutesFromText("{\"name\":\"x\",\"workloads\":[\"y\"]}").status().message()),
              HasSubstr("routes.workloads[0]"));
}

TEST(MeshRulesProto, ARecordHasALargestSize) {
  registry::v1::Policy policy;
  policy.set_name("big");
  policy.add_workloads("spiffe://td/web");
  mesh::v1::InboundRule* rule = policy.add_rules();
  rule->set_name("r");
  while (policy.ByteSizeLong() <= kMaxRecordSizeBytes) {
    rule->add_peers("spiffe://td/" + std::string(2000, 'a'));
  }
  ConfigProblems problems;
  std::set<std::string> seen;
  PolicyFromProto("policies[0]", policy, seen, problems);
  ASSERT_EQ(problems.all().size(), 1u);
  EXPECT_THAT(problems.all()[0].message, HasSubstr("a record has at most 262144"));
}

}  // namespace
}  // namespace lanyard
