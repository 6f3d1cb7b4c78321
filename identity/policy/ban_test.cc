#include "identity/policy/ban.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }
Ban BanOf(absl::string_view subject, absl::Time expires_at = absl::InfiniteFuture()) {
  return {*BanSubject::Parse(subject), "why", kNow, expires_at};
}

TEST(BanSubject, ReadsWhatItPrints) {
  for (const char *text :
       {"spiffe://td/a", "spiffe://td/a/*", "spiffe://td/*", "serial:0a1b", "agent:spiffe://td/lanyard/agent/web-1"}) {
    EXPECT_EQ(BanSubject::Parse(text)->ToString(), text);
  }
  EXPECT_EQ(BanSubject::Parse("serial:0a1b")->kind(), BanSubject::Kind::kSerial);
  EXPECT_EQ(BanSubject::Parse("agent:spiffe://td/a")->kind(), BanSubject::Kind::kAgent);
  EXPECT_EQ(BanSubject::Parse("spiffe://td/a")->kind(), BanSubject::Kind::kSpiffeId);
}

TEST(BanSubject, ASerialHasOneSpelling) {
  EXPECT_EQ(BanSubject::Parse("serial:00AB12")->text(), "ab12");
  EXPECT_EQ(BanSubject::Parse("serial:00")->text(), "00");
}

TEST(BanSubject, RefusesWhatNamesNobodyAndSaysHow) {
  for (const char *text : {"", "web", "spiffe://td", "spiffe://td/a*", "serial:", "serial:abc", "serial:xy",
                           "serial:0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a", "agent:web-1", "agent:spiffe://td",
                           "agent:spiffe://td/*", "agent:"}) {
    EXPECT_THAT(std::string(BanSubject::Parse(text).status().message()), HasSubstr("serial:HEX")) << text;
  }
}

TEST(BanSet, FindsById) {
  const BanSet bans({BanOf("spiffe://td/a")});
  EXPECT_NE(bans.Find(Id("spiffe://td/a"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/b"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/a/b"), "01", kNow), nullptr);
}

TEST(BanSet, FindsByWildcard) {
  const BanSet bans({BanOf("spiffe://td/ns/*")});
  EXPECT_NE(bans.Find(Id("spiffe://td/ns/a"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/ns"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/other/a"), "01", kNow), nullptr);
}

TEST(BanSet, FindsBySerial) {
  const BanSet bans({BanOf("serial:0A1B")});
  EXPECT_NE(bans.Find(Id("spiffe://td/a"), "0a1b", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/a"), "0a1c", kNow), nullptr);
  EXPECT_EQ(bans.FindId(Id("spiffe://td/a"), kNow), nullptr);
  EXPECT_NE(bans.FindSerial("0a1b", kNow), nullptr);
  EXPECT_EQ(bans.FindSerial("0b", kNow), nullptr);
}

TEST(BanSet, ABannedAgentsOwnIdIsBanned) {
  const BanSet bans({BanOf("agent:spiffe://td/lanyard/agent/a")});
  EXPECT_NE(bans.Find(Id("spiffe://td/lanyard/agent/a"), "01", kNow), nullptr);
  EXPECT_NE(bans.FindAgent(Id("spiffe://td/lanyard/agent/a"), "01", kNow), nullptr);
  EXPECT_EQ(bans.FindAgent(Id("spiffe://td/lanyard/agent/b"), "01", kNow), nullptr);
}

TEST(BanSet, WildcardsShutNoAgentOut) {
  const BanSet bans({BanOf("spiffe://td/*"), BanOf("serial:0a")});
  EXPECT_EQ(bans.FindAgent(Id("spiffe://td/lanyard/agent/a"), "01", kNow), nullptr);
  EXPECT_NE(bans.FindAgent(Id("spiffe://td/lanyard/agent/a"), "0a", kNow), nullptr);
}

TEST(BanSet, WhatHasEndedIsGone) {
  const BanSet bans({BanOf("spiffe://td/a", kNow + absl::Seconds(1)), BanOf("spiffe://td/b/*", kNow),
                     BanOf("serial:0a", kNow + absl::Seconds(2))});
  EXPECT_EQ(bans.NextExpiry(), kNow);
  EXPECT_NE(bans.Find(Id("spiffe://td/a"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/a"), "01", kNow + absl::Seconds(1)), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/b/c"), "01", kNow), nullptr);
  EXPECT_EQ(bans.Find(Id("spiffe://td/c"), "0a", kNow + absl::Seconds(2)), nullptr);
}

TEST(BanSet, OfOneSubjectTheLongerBanHolds) {
  const BanSet bans({BanOf("spiffe://td/a", kNow + absl::Seconds(1)), BanOf("spiffe://td/a")});
  ASSERT_EQ(bans.all().size(), 1u);
  EXPECT_NE(bans.FindSubject(*BanSubject::Parse("spiffe://td/a"), kNow + absl::Hours(1)), nullptr);
}

TEST(BanSet, AnEmptyOneBansNobody) {
  EXPECT_EQ(BanSet().Find(Id("spiffe://td/a"), "01", kNow), nullptr);
  EXPECT_EQ(BanSet().NextExpiry(), absl::InfiniteFuture());
}

TEST(Ban, ExplainsItself) {
  EXPECT_EQ(BanOf("spiffe://td/a").Explanation(), "spiffe://td/a is banned until it is unbanned: why");
  EXPECT_THAT(BanOf("serial:0a", kNow).Explanation(), HasSubstr("serial:0a is banned until 2027-01-15T08:00:00Z: why"));
}

}  // namespace
}  // namespace lanyard
