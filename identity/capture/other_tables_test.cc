#include "identity/capture/other_tables.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::string Ruleset(const std::string& items) { return R"({"nftables": [{"metainfo": {}}, )" + items + "]}"; }

std::string Chain(const std::string& table, const std::string& hook, int priority) {
  return R"({"chain": {"family": "ip", "table": ")" + table + R"(", "name": "c", "hook": ")" + hook +
         R"(", "prio": )" + std::to_string(priority) + "}}";
}

std::string Rule(const std::string& table, const std::string& expression) {
  return R"({"rule": {"family": "ip", "table": ")" + table + R"(", "chain": "d", "expr": [)" + expression + "]}}";
}

TEST(OtherTablesTest, ATableThatRedirectsOnOurHooksIsFound) {
  const auto tables = TablesThatTakeConnections(Ruleset(
      Chain("nat", "output", -100) + "," + Chain("nat", "postrouting", 100) + "," +
      Rule("nat", R"({"match": {}}, {"redirect": {"port": 9}})")));
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_EQ(tables[0].name, "ip nat");
  EXPECT_EQ(tables[0].hook, "output");
  EXPECT_EQ(tables[0].priority, -100);
}

TEST(OtherTablesTest, IptablesRulesCountToo) {
  EXPECT_EQ(TablesThatTakeConnections(Ruleset(Chain("nat", "prerouting", -100) + "," +
                                              Rule("nat", R"({"xt": {"type": "target", "name": "DNAT"}})")))
                .size(),
            1u);
}

TEST(OtherTablesTest, WhoOnlyFiltersOrIsOursIsNone) {
  const std::string filter = Chain("f", "output", 0) + "," + Rule("f", R"({"drop": null})");
  EXPECT_TRUE(TablesThatTakeConnections(Ruleset(filter)).empty());
  EXPECT_TRUE(TablesThatTakeConnections(
                  Ruleset(R"({"chain": {"family": "inet", "table": "lanyard", "hook": "output", "prio": -100}},
                             {"rule": {"family": "inet", "table": "lanyard", "expr": [{"redirect": null}]}})"))
                  .empty());
}

TEST(OtherTablesTest, WhatCannotBeReadHoldsNone) {
  for (const char* text : {"", "{}", "[]", "{\"nftables\": 1}", "{\"nftables\": [1, {\"rule\": {}}]}"}) {
    EXPECT_TRUE(TablesThatTakeConnections(text).empty()) << text;
  }
}

}  // namespace
}  // namespace lanyard
