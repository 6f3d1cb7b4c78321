#include "identity/cli/rules_file_proto.h"

#include <stdlib.h>

#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

std::string FileOf(const std::string& text) {
  const std::string path = std::string(getenv("TEST_TMPDIR")) + "/rules.yaml";
  std::ofstream(path) << text;
  return path;
}

TEST(LoadRulesFile, ReadsPoliciesAndRoutes) {
  const auto rules = LoadRulesFile(FileOf(R"(
policies:
  - name: web
    workloads: [spiffe://example.org/web]
    rules:
      - {name: shop, ports: [80], peers: ["spiffe://example.org/shop"]}
routes:
  - name: out
    workloads: ["spiffe://example.org/*"]
    order: 7
    routes:
      - {name: db, destinations: [10.0.0.0/8], action: mutual_tls, peers: ["spiffe://example.org/db"]}
)"));
  ASSERT_TRUE(rules.ok()) << rules.status();
  ASSERT_EQ(rules->policies.size(), 1u);
  EXPECT_EQ(rules->policies[0].rules[0].name, "shop");
  ASSERT_EQ(rules->routes.size(), 1u);
  EXPECT_EQ(rules->routes[0].order, 7u);
  EXPECT_EQ(rules->routes[0].routes[0].action, RouteAction::kMutualTls);
}

TEST(LoadRulesFile, TakesWhatListPrints) {
  EXPECT_TRUE(LoadRulesFile(FileOf(R"({"policies": [{"name": "web", "workloads": ["spiffe://example.org/web"],
    "rules": [{"name": "a", "ports": [], "peers": [], "allow_plaintext": true}],
    "version": 7, "updated_at": "2026-01-01T00:00:00Z"}]})"))
                  .ok());
}

TEST(LoadRulesFile, ReportsEveryMistake) {
  const absl::Status refused = LoadRulesFile(FileOf(R"(
policies:
  - {name: Web, workloads: [], rulez: []}
routes:
  - name: out
    workloads: [web]
    routes: [{name: x, action: fly}]
)"))
                                   .status();
  for (const char* path : {"policies[0].name", "policies[0].workloads", "policies[0].rulez", "routes[0].workloads[0]",
                           "routes[0].routes[0].action"}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr(path));
  }
}

TEST(LoadRulesFile, ADashIsStandardInputAndIsCalledSo) {
  const auto load = [](const std::string& text) {
    const std::unique_ptr<FILE, int (*)(FILE*)> typed(fopen(FileOf(text).c_str(), "re"), fclose);
    return LoadRulesFile("-", typed.get());
  };
  const auto rules = load("policies: [{name: web, workloads: [\"spiffe://example.org/web\"]}]");
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(rules->policies[0].name, "web");
  EXPECT_THAT(std::string(load("policies: [{name: Web}]").status().message()), HasSubstr("standard input: 2 mistakes"));
  EXPECT_THAT(std::string(load("").status().message()), HasSubstr("standard input"));
}

TEST(LoadRulesFile, AnEmptyFileIsAMistake) {
  EXPECT_THAT(std::string(LoadRulesFile(FileOf("")).status().message()), HasSubstr("nothing to apply"));
  EXPECT_FALSE(LoadRulesFile("/nowhere/rules.yaml").ok());
}

}  // namespace
}  // namespace lanyard
