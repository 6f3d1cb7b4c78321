#include "identity/policy/rules_proto.h"

#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

template <typename Message>
Message FromText(const std::string &text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

std::vector<std::string> Lines(const ConfigProblems &problems) {
  std::vector<std::string> lines;
  for (const ConfigProblem &problem : problems.all()) lines.push_back(problem.path + ": " + problem.message);
  return lines;
}

mesh::v1::InboundPolicy Inbound(const std::string &text) { return FromText<mesh::v1::InboundPolicy>(text); }

// Routes and bans have no message of their own that repeats them.
template <typename Message>
google::protobuf::RepeatedPtrField<Message> List(const std::vector<std::string> &texts) {
  google::protobuf::RepeatedPtrField<Message> list;
  for (const std::string &text : texts) *list.Add() = FromText<Message>(text);
  return list;
}

TEST(RulesFromProto, ReadsEveryField) {
  ConfigProblems problems;
  const std::vector<PolicyRule> rules = RulesFromProto("r",
                                                       Inbound("rules {name: 'a' ports: [80, 443] peers: "
                                                               "['spiffe://td/x', 'spiffe://td/y/*']}"
                                                               "rules {name: 'b' allow_plaintext: true}")
                                                           .rules(),
                                                       RuleNames::kWritten, problems);
  EXPECT_THAT(Lines(problems), IsEmpty());
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].name, "a");
  EXPECT_THAT(rules[0].ports, ElementsAre(80, 443));
  EXPECT_EQ(rules[0].peers[1].ToString(), "spiffe://td/y/*");
  EXPECT_TRUE(rules[1].allow_plaintext);
}

TEST(RulesFromProto, ReportsEveryMistakeWithItsPath) {
  ConfigProblems problems;
  InboundPolicyFromProto("inbound.rules",
                         Inbound("rules {name: 'a b' ports: [0, 70000] peers: "
                                 "['spiffe://td']} rules {name: 'b'}"
                                 "rules {name: 'b' peers: 'spiffe://td/*'} "
                                 "rules {allow_plaintext: true}")
                             .rules(),
                         RuleNames::kWritten, problems);
  EXPECT_THAT(Lines(problems), ElementsAre(StartsWith("inbound.rules[0].name: \"a b\" is not a name"),
                                           StartsWith("inbound.rules[0].ports[0]: 0 is not a port"),
                                           StartsWith("inbound.rules[0].ports[1]: 70000 is not a port"),
                                           AllOf(StartsWith("inbound.rules[0].peers[0]: "), HasSubstr("spiffe://td/*")),
                                           StartsWith("inbound.rules[1].peers: nobody could call"),
                                           StartsWith("inbound.rules[2].name: \"b\" is taken already"),
                                           StartsWith("inbound.rules[3].name: a name is required")));
}

TEST(RulesFromProto, JoinedNamesHaveTwoParts) {
  ConfigProblems problems;
  const std::string text = "rules {name: 'shop/web.1' peers: 'spiffe://td/*'}";
  EXPECT_EQ(RulesFromProto("r", Inbound(text).rules(), RuleNames::kJoined, problems).size(), 1u);
  EXPECT_THAT(Lines(problems), IsEmpty());
  RulesFromProto("r", Inbound(text).rules(), RuleNames::kWritten, problems);
  RulesFromProto("s", Inbound("rules {name: 'web' peers: 'spiffe://td/*'}").rules(), RuleNames::kJoined, problems);
  EXPECT_THAT(Lines(problems), ElementsAre(StartsWith("r[0].name"), StartsWith("s[0].name")));
}

TEST(RulesFromProto, TooManyAreNotReadAtAll) {
  mesh::v1::InboundPolicy policy;
  for (size_t i = 0; i <= kMaxRulesOfARecord; ++i) policy.add_rules()->set_allow_plaintext(true);
  ConfigProblems problems;
  EXPECT_TRUE(RulesFromProto("r", policy.rules(), RuleNames::kWritten, problems).empty());
  EXPECT_THAT(Lines(problems), ElementsAre(StartsWith("r: 1001 rules are too many; write at most 1000")));

  mesh::v1::InboundPolicy wide = Inbound("rules {name: 'a' allow_plaintext: true}");
  for (size_t i = 0; i <= kMaxValuesOfARule; ++i) {
    wide.mutable_rules(0)->add_peers("spiffe://td/*");
    wide.mutable_rules(0)->add_ports(80);
  }
  ConfigProblems more;
  RulesFromProto("r", wide.rules(), RuleNames::kWritten, more);
  EXPECT_THAT(Lines(more), ElementsAre(StartsWith("r[0].ports: 1001 ports are too many"),
                                       StartsWith("r[0].peers: 1001 SPIFFE IDs are too many")));
}

TEST(RoutesFromProto, ReportsEveryMistakeWithItsPath) {
  ConfigProblems problems;
  RoutesFromProto("routes",
                  List<mesh::v1::Route>({"name: 'default' action: REFUSE", "name: 'a' destinations: '10.0.0.1/8'",
                                         "name: 'b' action: MUTUAL_TLS", "name: 'c' action: REFUSE peers: 'x'"}),
                  RuleNames::kWritten, {"default"}, problems);
  EXPECT_THAT(Lines(problems),
              ElementsAre(StartsWith("routes[0].name: \"default\" is taken"),
                          StartsWith("routes[1].action: an action is required"),
                          StartsWith("routes[1].destinations[0]: \"10.0.0.1/8\" has bits set"),
                          StartsWith("routes[2].peers: mutual_tls needs at least one peer"),
                          StartsWith("routes[3].peers: peers have a meaning"), StartsWith("routes[3].peers[0]: ")));
}

TEST(RoutesFromProto, ReadsWhatToProtoWrites) {
  ConfigProblems problems;
  const auto messages =
      List<mesh::v1::Route>({"name: 'a' destinations: ['10.0.0.0/8', 'fd00::/8'] ports: 80 action: "
                             "MUTUAL_TLS peers: 'spiffe://td/*'",
                             "name: 'b' action: PASS_THROUGH", "name: 'c' action: REFUSE"});
  const std::vector<Route> routes = RoutesFromProto("routes", messages, RuleNames::kWritten, {}, problems);
  ASSERT_THAT(Lines(problems), IsEmpty());
  ASSERT_EQ(routes.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ToProto(routes[i]).SerializeAsString(), messages[i].SerializeAsString());
}

TEST(RulesFromProto, ReadsWhatToProtoWrites) {
  ConfigProblems problems;
  const auto policy = Inbound(
      "rules {name: 'a' ports: 80 peers: "
      "'spiffe://td/x' allow_plaintext: true}");
  const std::vector<PolicyRule> rules = RulesFromProto("r", policy.rules(), RuleNames::kWritten, problems);
  ASSERT_EQ(rules.size(), 1u);
  EXPECT_EQ(ToProto(rules[0]).SerializeAsString(), policy.rules(0).SerializeAsString());
}

TEST(BansFromProto, ReadsWhatToProtoWrites) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  google::protobuf::RepeatedPtrField<mesh::v1::Ban> messages;
  for (const char *subject : {"spiffe://td/a/*", "serial:0a", "agent:spiffe://td/lanyard/agent/a"}) {
    *messages.Add() = ToProto(Ban{*BanSubject::Parse(subject), "why", now, now + absl::Seconds(1)});
  }
  *messages.Add() = ToProto(Ban{*BanSubject::Parse("spiffe://td/b"), "", now});
  ConfigProblems problems;
  const std::vector<Ban> bans = BansFromProto("bans", messages, problems);
  ASSERT_THAT(Lines(problems), IsEmpty());
  ASSERT_EQ(bans.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ToProto(bans[i]).SerializeAsString(), messages[i].SerializeAsString());
  EXPECT_EQ(bans[3].expires_at, absl::InfiniteFuture());
}

TEST(BansFromProto, ReportsEveryMistakeWithItsPath) {
  ConfigProblems problems;
  const std::vector<Ban> bans =
      BansFromProto("bans",
                    List<mesh::v1::Ban>({"reason: 'nobody'", "serial: 'xyz'", "agent: 'web' expires_at {nanos: -1}",
                                         "spiffe_id: 'spiffe://td/a' reason: 'two\\nlines' "
                                         "created_at {seconds: 999999999999}",
                                         "spiffe_id: 'serial:0a'"}),
                    problems);
  EXPECT_TRUE(bans.empty());
  EXPECT_THAT(Lines(problems), ElementsAre(StartsWith("bans[0].subject: "), StartsWith("bans[1].subject: "),
                                           StartsWith("bans[2].expires_at: "), StartsWith("bans[2].subject: "),
                                           StartsWith("bans[3].reason: "), StartsWith("bans[3].created_at: "),
                                           StartsWith("bans[4].subject: ")));
}

TEST(BansFromProto, ALongReasonIsRefused) {
  ConfigProblems problems;
  CheckBanReason("reason", std::string(Ban::kMaxReasonSizeBytes, 'x'), problems);
  EXPECT_TRUE(problems.empty());
  CheckBanReason("reason", std::string(Ban::kMaxReasonSizeBytes + 1, 'x'), problems);
  EXPECT_THAT(Lines(problems), ElementsAre("reason: the reason has 257 bytes; write at most 256"));
}

TEST(WorkloadPolicyFromProto, ReportsEveryMistakeOfTheRecord) {
  ConfigProblems problems;
  std::set<std::string> seen;
  google::protobuf::RepeatedPtrField<std::string> none, wrong;
  *wrong.Add() = "nobody";
  const std::string shop = "shop", upper = "Shop";
  WorkloadPolicyFromProto("policies[0]", {shop, none}, Inbound("rules {name: 'a'}").rules(), seen, problems);
  WorkloadPolicyFromProto("policies[1]", {shop, wrong}, {}, seen, problems);
  WorkloadPolicyFromProto("policies[2]", {upper, wrong}, {}, seen, problems);
  EXPECT_THAT(
      Lines(problems),
      ElementsAre(StartsWith("policies[0].workloads: at least one workload"),
                  StartsWith("policies[0].rules[0].peers: nobody could call"),
                  StartsWith("policies[1].name: \"shop\" is taken"), StartsWith("policies[1].workloads[0]: "),
                  StartsWith("policies[2].name: \"Shop\" is not a name"), StartsWith("policies[2].workloads[0]: ")));
}

TEST(WorkloadRoutesFromProto, ReadsARecord) {
  ConfigProblems problems;
  std::set<std::string> seen;
  google::protobuf::RepeatedPtrField<std::string> workloads;
  *workloads.Add() = "spiffe://td/*";
  const std::string name = "egress";
  const WorkloadRoutes set = WorkloadRoutesFromProto(
      "routes[0]", {name, workloads}, List<mesh::v1::Route>({"name: 'a' action: REFUSE"}), seen, problems);
  EXPECT_THAT(Lines(problems), IsEmpty());
  EXPECT_EQ(set.name, "egress");
  EXPECT_EQ(set.routes[0].name, "a");
  EXPECT_TRUE(seen.contains("egress"));
}

}  // namespace
}  // namespace lanyard
