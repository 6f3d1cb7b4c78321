#include "identity/cli/rules_output.h"

#include <stdio.h>
#include <stdlib.h>

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Printed(Output::Format format, const std::function<void(Output&)>& show) {
  char* text = nullptr;
  size_t size = 0;
  FILE* stream = open_memstream(&text, &size);
  Output output(format, stream, stream);
  show(output);
  EXPECT_TRUE(output.Flush());
  fclose(stream);
  const std::string result(text, size);
  free(text);
  return result;
}

ListedPolicy Web() {
  return {{"web",
           {*PeerPattern::Parse("spiffe://td/web")},
           {{"shop", {80, 443}, {*PeerPattern::Parse("spiffe://td/shop")}, true}}},
          7,
          kNow};
}

TEST(RulesOutput, APolicyAsJsonHasEveryField) {
  const auto json = ToJson(Web());
  EXPECT_EQ(json["name"], "web");
  EXPECT_EQ(json["workloads"][0], "spiffe://td/web");
  EXPECT_EQ(json["rules"][0]["ports"], (std::vector<int>{80, 443}));
  EXPECT_EQ(json["rules"][0]["peers"][0], "spiffe://td/shop");
  EXPECT_EQ(json["rules"][0]["allow_plaintext"], true);
  EXPECT_EQ(json["version"], 7);
}

TEST(RulesOutput, PoliciesAsATableHaveALineForEachRule) {
  const std::string table = Printed(Output::Format::kText, [](Output& output) { ShowPolicies({Web()}, kNow, output); });
  EXPECT_THAT(table, HasSubstr("WHO MAY CALL"));
  EXPECT_THAT(table, HasSubstr("80,443"));
  EXPECT_THAT(table, HasSubstr("spiffe://td/shop plaintext"));
  ListedPolicy closed = Web();
  closed.policy.rules.clear();
  EXPECT_THAT(Printed(Output::Format::kText, [&](Output& output) { ShowPolicies({closed}, kNow, output); }),
              HasSubstr("(nobody)"));
}

TEST(RulesOutput, RoutesNameTheirAction) {
  const ListedRoutes set{{"out",
                          {*PeerPattern::Parse("spiffe://td/*")},
                          {{"db", {*AddressBlock::Parse("10.0.0.0/8")}, {}, RouteAction::kMutualTls, {}},
                           {"rest", {}, {}, RouteAction::kRefuse, {}},
                           {"web", {}, {443}, RouteAction::kPassThrough, {}}},
                          3},
                         7,
                         kNow};
  const auto json = ToJson(set);
  EXPECT_EQ(json["order"], 3);
  EXPECT_EQ(json["routes"][0]["action"], "mutual_tls");
  EXPECT_EQ(json["routes"][1]["action"], "refuse");
  EXPECT_EQ(json["routes"][2]["action"], "pass_through");
  EXPECT_THAT(Printed(Output::Format::kText, [&](Output& output) { ShowRoutes({set}, kNow, output); }),
              HasSubstr("10.0.0.0/8"));
}

TEST(RulesOutput, ABanWithoutAnEndSaysSo) {
  const Ban ban{*BanSubject::Parse("serial:0a"), "stolen", kNow};
  EXPECT_TRUE(ToJson(ban)["expires_at"].is_null());
  EXPECT_THAT(Printed(Output::Format::kText, [&](Output& output) { ShowBans({ban}, kNow, output); }),
              HasSubstr("when unbanned"));
  Ban ending = ban;
  ending.expires_at = kNow + absl::Hours(1);
  EXPECT_EQ(ToJson(ending)["expires_at"], "2027-01-15T09:00:00Z");
}

TEST(RulesOutput, ADryRunSaysWhatWouldBe) {
  const std::vector<AppliedRecord> applied = {{"policy", "web", "created", 7}, {"route", "out", "unchanged", 3}};
  EXPECT_EQ(Printed(Output::Format::kText, [&](Output& output) { ShowApplied(applied, true, output); }),
            "policy web would be created (version 7)\nroute out: unchanged (version 3)\n");
  EXPECT_EQ(Printed(Output::Format::kText, [&](Output& output) { ShowApplied(applied, false, output); }),
            "policy web: created (version 7)\nroute out: unchanged (version 3)\n");
}

}  // namespace
}  // namespace lanyard
