#include "identity/capture/rules.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CaptureEnvironment Environment() {
  CaptureEnvironment environment;
  environment.user = [](const std::string& name) -> absl::StatusOr<uid_t> {
    if (name == "shop") return 1001;
    return absl::NotFoundError("no such user");
  };
  environment.group = [](const std::string& name) -> absl::StatusOr<gid_t> {
    if (name == "shops") return 2002;
    return absl::NotFoundError("no such group");
  };
  return environment;
}

absl::StatusOr<CaptureRules> Parse(const std::vector<std::string>& words) {
  return RulesFromWords(words, Environment());
}

TEST(CaptureRulesTest, WordsSayTheRulesAndAreReadBack) {
  const std::vector<std::string> words = {
      "--mode tproxy", "--proxy-uid 1337", "--outbound-port 15001", "--inbound-port 15006", "--preserve-source",
      "--udp refuse", "--dns capture", "--include-outbound-ports 80", "--include-outbound-ports 8000-8100",
      "--exclude-outbound-ports 7443", "--include-inbound-ports 80", "--exclude-inbound-ports 22",
      "--include-cidrs 10.0.0.0/8", "--exclude-cidrs fd00::/8", "--include-uids 1001", "--exclude-uids 0",
      "--include-gids 5", "--exclude-gids 6", "--cgroup shop.slice", "--exclude-cgroups shop.slice/agent"};
  const absl::StatusOr<CaptureRules> rules = Parse(words);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(WordsOf(*rules), words);
}

TEST(CaptureRulesTest, WhatIsAsByDefaultNeedsFewWords) {
  EXPECT_THAT(WordsOf(CaptureRules()), ElementsAre("--proxy-uid 0", "--outbound-port 15001", "--inbound-port 15006"));
}

TEST(CaptureRulesTest, EverySettingIsReadBackFromItsOwnWords) {
  for (const CaptureSetting& setting : CaptureSettings()) {
    EXPECT_TRUE(setting.take != nullptr && setting.give != nullptr && !setting.help.empty()) << setting.flag;
    if (setting.fallback.empty()) continue;
    CaptureRules rules;
    EXPECT_TRUE(setting.take(setting.fallback, Environment(), rules).ok()) << setting.flag;
    EXPECT_EQ(WordsOf(rules), WordsOf(CaptureRules())) << setting.flag << "'s default is not the rules' own";
  }
}

TEST(CaptureRulesTest, UsersAndGroupsMayBeNamed) {
  const CaptureRules rules = Parse({"--proxy-uid shop", "--exclude-gids shops"}).value();
  EXPECT_EQ(rules.proxy_uid, 1001u);
  EXPECT_THAT(rules.exclude_gids, ElementsAre(2002u));
  EXPECT_THAT(std::string(Parse({"--exclude-uids nobody-here"}).status().message()), HasSubstr("no such user"));
}

TEST(CaptureRulesTest, WhatIsNoneOfTheChoicesIsToldWithThem) {
  EXPECT_THAT(std::string(Parse({"--mode iptables"}).status().message()), HasSubstr("redirect, tproxy"));
  EXPECT_FALSE(Parse({"--udp drop"}).ok());
  EXPECT_FALSE(Parse({"--outbound-port 0"}).ok());
  EXPECT_FALSE(Parse({"--of-a-later-version 1"}).ok());
  EXPECT_FALSE(Parse({"--cgroup /"}).ok());
}

TEST(CaptureRulesTest, RulesThatCaptureTheProxyItselfAreRefused) {
  EXPECT_THAT(std::string(CheckCaptureRules(Parse({"--proxy-uid 7", "--include-uids 7"}).value()).message()),
              HasSubstr("refused as loops"));
  EXPECT_FALSE(CheckCaptureRules(Parse({"--outbound-port 99", "--inbound-port 99"}).value()).ok());
  EXPECT_TRUE(CheckCaptureRules(Parse({"--proxy-uid 7", "--include-uids 8"}).value()).ok());
}

TEST(CaptureRulesTest, WhatOnlyPacketFiltersCanDoIsRefusedOfEbpf) {
  const auto refusal = [](std::vector<std::string> words) {
    words.push_back("--mode ebpf");
    return std::string(CheckCaptureRules(Parse(words).value()).message());
  };
  EXPECT_EQ(refusal({"--exclude-uids 7", "--dns capture"}), "");
  EXPECT_THAT(refusal({"--preserve-source"}), HasSubstr("--preserve-source needs"));
  EXPECT_THAT(refusal({"--udp refuse"}), HasSubstr("--udp refuse needs"));
  EXPECT_THAT(refusal({"--cgroup a"}), HasSubstr("--include-inbound-ports"));
  EXPECT_THAT(refusal({"--exclude-cgroups a"}), HasSubstr("--include-inbound-ports"));
  EXPECT_EQ(refusal({"--cgroup a", "--include-inbound-ports 80"}), "");
}

}  // namespace
}  // namespace lanyard
