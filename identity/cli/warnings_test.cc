#include "identity/cli/warnings.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;

constexpr char kWeb1[] = "spiffe://example.org/lanyard/agent/web-1";

std::vector<EntryRecord> Entries() {
  EntryRecord shop;
  shop.spiffe_id = "spiffe://example.org/ns/shop/web";
  return {shop};
}

std::vector<AgentRecord> Agents(bool connected = true) {
  AgentRecord agent;
  agent.spiffe_id = kWeb1;
  agent.connected = connected;
  return {agent};
}

std::string OfBan(const std::string& subject) {
  return WarningOfBan(*BanSubject::Parse(subject), Entries(), Agents());
}

TEST(Warnings, ABanThatNamesSomebodyIsPlain) {
  for (const char* subject : {"spiffe://example.org/ns/shop/web", "spiffe://example.org/ns/*", "spiffe://example.org/*",
                              "agent:spiffe://example.org/lanyard/agent/web-1", "serial:0a"}) {
    EXPECT_EQ(OfBan(subject), "") << subject;
  }
}

TEST(Warnings, ABanThatNamesNobodyIsSaidToDoSo) {
  for (const char* subject :
       {"spiffe://example.org/ns/shop/wbe", "spiffe://exmaple.org/ns/shop/web", "spiffe://example.org/sn/*"}) {
    EXPECT_THAT(OfBan(subject), HasSubstr(std::string("no entry gives anybody ") + subject));
  }
  EXPECT_THAT(OfBan("agent:spiffe://example.org/lanyard/agent/web-2"), HasSubstr("agent/web-2 has joined"));
}

TEST(Warnings, AnEntryOfAnAgentThatIsNotThereGivesNobodyAnything) {
  EXPECT_EQ(WarningOfParent("", Agents()), "");
  EXPECT_EQ(WarningOfParent(kWeb1, Agents(false)), "");
  EXPECT_THAT(WarningOfParent(std::string(kWeb1) + "0", Agents()), HasSubstr("web-10 has joined yet"));
}

TEST(Warnings, RulesForWorkloadsOfElsewhereRuleNobody) {
  const auto patterns = [](std::vector<std::string> texts) {
    std::vector<PeerPattern> all;
    for (const std::string& text : texts) all.push_back(*PeerPattern::Parse(text));
    return all;
  };
  RulesFile rules;
  rules.policies = {{"web", patterns({"spiffe://exmaple.org/web", "spiffe://example.org/web"}), {}},
                    {"all", patterns({"spiffe://example.org/*"}), {}}};
  rules.routes = {{"shop", patterns({"spiffe://example.org/shop"}), {}}};
  EXPECT_TRUE(WarningsOfRules(rules, "example.org").empty());
  rules.policies[0].workloads = patterns({"spiffe://exmaple.org/web"});
  rules.routes[0].workloads = patterns({"spiffe://example.org.evil/*"});
  const std::vector<std::string> warnings = WarningsOfRules(rules, "example.org");
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_THAT(warnings[0], HasSubstr("policy web names no workload of example.org"));
  EXPECT_THAT(warnings[0], HasSubstr("spiffe://exmaple.org/web is written"));
  EXPECT_THAT(warnings[1], HasSubstr("route set shop"));
}

TEST(Warnings, ATokenOfAnAgentThatIsConnectedMakesASecondOne) {
  EXPECT_THAT(WarningOfToken(kWeb1, Agents()), HasSubstr("is connected now"));
  EXPECT_EQ(WarningOfToken(kWeb1, Agents(false)), "");
  EXPECT_EQ(WarningOfToken("spiffe://example.org/lanyard/agent/new", Agents()), "");
}

}  // namespace
}  // namespace lanyard
