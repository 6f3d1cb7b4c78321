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

TEST(Warnings, ATokenOfAnAgentThatIsConnectedMakesASecondOne) {
  EXPECT_THAT(WarningOfToken(kWeb1, Agents()), HasSubstr("is connected now"));
  EXPECT_EQ(WarningOfToken(kWeb1, Agents(false)), "");
  EXPECT_EQ(WarningOfToken("spiffe://example.org/lanyard/agent/new", Agents()), "");
}

}  // namespace
}  // namespace lanyard
