#include "identity/config/config_file.h"

#include <stdlib.h>

#include <string>

#include "api/lanyard/config/authority.pb.h"
#include "api/lanyard/config/proxy.pb.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

// "path: message" of every mistake, a line each.
std::string Mistakes(absl::string_view text, google::protobuf::Message& message) {
  ConfigProblems problems;
  ParseConfig(text, message, problems);
  std::string all;
  for (const ConfigProblem& problem : problems.all()) all += problem.path + ": " + problem.message + "\n";
  return all;
}

std::string Mistakes(absl::string_view text) {
  config::ProxyConfig config;
  return Mistakes(text, config);
}

TEST(ParseConfig, ReadsEveryKindOfField) {
  config::ProxyConfig config;
  EXPECT_EQ(Mistakes(R"(
# a comment
identity:
  files:
    certificate: /c.pem
    federated_bundles: {other.org: /o.pem, third.org: "/t.pem"}
workers: 3
on_svid_expiry: close
drain_deadline: 1m30s
limits: {connect_timeout: 500ms, idle_timeout: 0}
listeners:
- name: a
  inbound: {address: "127.0.0.1:1", allow_plaintext: true, peers: [spiffe://td/a, 'spiffe://td/*']}
- {"name": "b", "outbound": {"address": "[::1]:2"}}
routes:
- {name: r, ports: [80, 443], action: mutual_tls}
)",
                     config),
            "");
  EXPECT_EQ(config.identity().files().federated_bundles().at("third.org"), "/t.pem");
  EXPECT_EQ(config.workers(), 3u);
  EXPECT_EQ(config.on_svid_expiry(), config::CLOSE);
  EXPECT_EQ(config.drain_deadline().seconds(), 90);
  EXPECT_EQ(config.limits().connect_timeout().nanos(), 500000000);
  EXPECT_TRUE(config.limits().has_idle_timeout());
  ASSERT_EQ(config.listeners_size(), 2);
  EXPECT_TRUE(config.listeners(0).inbound().allow_plaintext());
  EXPECT_EQ(config.listeners(0).inbound().peers(1), "spiffe://td/*");
  EXPECT_EQ(config.listeners(1).outbound().address(), "[::1]:2");
  EXPECT_EQ(config.routes(0).ports(1), 443u);
  EXPECT_EQ(config.routes(0).action(), mesh::v1::MUTUAL_TLS);
}

TEST(ParseConfig, NothingWrittenIsNothingSet) {
  for (absl::string_view text : {"", "\n", "# only a comment\n", "---\n", "{}", "listeners:\nidentity:\n"}) {
    config::ProxyConfig config;
    EXPECT_EQ(Mistakes(text, config), "") << text;
    EXPECT_EQ(config.ByteSizeLong(), 0u) << text;
  }
}

TEST(ParseConfig, ReportsEveryMistakeAtOnce) {
  EXPECT_EQ(Mistakes(R"(
wrokers: 2
workers: many
admin: 127.0.0.1:1
listeners:
- nmae: a
- inbound: {address: 1, adress: 2}
on_svid_expiry: explode
drain_deadline: 30
)"),
            "wrokers: there is no such field: did you mean workers? (line 2)\n"
            "workers: \"many\" must be a whole number from 0 to 4294967295 (line 3)\n"
            "admin: it is \"127.0.0.1:1\", must be a map of fields (line 4)\n"
            "listeners[0].nmae: there is no such field: did you mean name? (line 6)\n"
            "listeners[1].inbound.adress: there is no such field: did you mean address? (line 7)\n"
            "on_svid_expiry: \"explode\" must be one of keep, close, reauthenticate (line 8)\n"
            "drain_deadline: \"30\" must be a length of time such as 90s, 1h30m or 500ms (line 9)\n");
}

TEST(ParseConfig, NumbersAndFlagsAreNotText) {
  EXPECT_EQ(Mistakes("workers: '2'\nadmin: {disabled: yes}\n"),
            "workers: \"2\" must be a whole number without quotes from 0 to 4294967295 (line 1)\n"
            "admin.disabled: \"yes\" must be true or false (line 2)\n");
}

TEST(ParseConfig, KeyWrittenTwiceIsAMistakeAndTheFirstStays) {
  config::ProxyConfig config;
  EXPECT_EQ(Mistakes("workers: 1\nworkers: 2\n", config), "workers: it is written twice: keep one (line 2)\n");
  EXPECT_EQ(config.workers(), 1u);
  EXPECT_EQ(Mistakes("identity: {files: {federated_bundles: {a: x, a: y}}}"),
            "identity.files.federated_bundles[\"a\"]: it is written twice: keep one (line 1)\n");
}

TEST(ParseConfig, TwoSidesOfAOneofExcludeEachOther) {
  EXPECT_EQ(Mistakes("listeners:\n- name: a\n  outbound: {address: x}\n  inbound: {address: y}\n"),
            "listeners[0].inbound: it excludes outbound, which is written too: keep one (line 4)\n");
}

TEST(ParseConfig, EmptyMessageDoesNotChooseAOneof) {
  config::ProxyConfig config;
  EXPECT_EQ(Mistakes("listeners: [{name: a, outbound: , inbound: {address: y}}]", config), "");
  EXPECT_TRUE(config.listeners(0).has_inbound());
}

TEST(ParseConfig, ListsAndMapsAreNotInterchangeable) {
  EXPECT_EQ(Mistakes("listeners: {name: a}\n"),
            "listeners: it is a map, must be a list: [...] or lines with - (line 1)\n");
  EXPECT_EQ(Mistakes("routes: [a]\n"), "routes[0]: it is \"a\", must be a map of fields (line 1)\n");
  EXPECT_EQ(Mistakes("routes: [{ports: 80}]\n"),
            "routes[0].ports: it is \"80\", must be a list: [...] or lines with - (line 1)\n");
  EXPECT_EQ(Mistakes("identity: {files: {federated_bundles: [a]}}"),
            "identity.files.federated_bundles: it is a list, must be a map: write name: value (line 1)\n");
  EXPECT_EQ(Mistakes("- a\n"), ": it is a list, must be a map of fields (line 1)\n");
  EXPECT_EQ(Mistakes("routes: [~]\n"), "routes[0]: it is empty: write its fields, or remove the line (line 1)\n");
}

TEST(ParseConfig, UnspecifiedEnumValueCannotBeChosen) {
  EXPECT_EQ(Mistakes("default_route: route_action_unspecified"),
            "default_route: \"route_action_unspecified\" must be one of pass_through, mutual_tls, refuse (line 1)\n");
}

TEST(ParseConfig, UnknownFieldWithNothingNearListsTheKnown) {
  EXPECT_EQ(Mistakes("admin: {certificate: x}"),
            "admin.certificate: there is no such field: known here are address, disabled (line 1)\n");
}

TEST(ParseConfig, ValueOfAnUnknownFieldIsNotRepeated) {
  // It may be a secret under a mistyped name.
  EXPECT_EQ(Mistakes("join_tokn: s3cret").find("s3cret"), std::string::npos);
}

TEST(ParseConfig, WhatStandsBeforeBrokenSyntaxIsStillNotTrusted) {
  ConfigProblems problems;
  config::ProxyConfig config;
  ParseConfig("workers: 2\nadmin: [\n", config, problems);
  EXPECT_FALSE(problems.empty());
}

TEST(LoadConfig, WhatCannotBeReadLacksNothing) {
  const std::string path = std::string(getenv("TEST_TMPDIR")) + "/broken.yaml";
  const std::string utf16("\xff\xfe" "a\0:\0 \0" "1\0", 10);
  for (const std::string& text : {std::string("trust_domain: a\ndata_dir: [\n"), utf16}) {
    ASSERT_TRUE(WriteFileAtomically(path, text, 0600).ok());
    config::AuthorityConfig config;
    const absl::Status status = LoadConfig(path, config, [](const auto&, ConfigProblems& problems) {
      problems.Add("trust_domain", "it is required");
    });
    EXPECT_NE(status.message().find(": 1 mistake:"), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(text == utf16 ? "UTF-8" : "not YAML"), absl::string_view::npos) << status;
  }
}

TEST(LoadConfig, NamesAFileThatCannotBeRead) {
  config::ProxyConfig config;
  const absl::Status status = LoadConfig("/nonexistent/proxy.yaml", config, [](const auto&, ConfigProblems&) {});
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find("/nonexistent/proxy.yaml"), absl::string_view::npos);
}

TEST(DurationOr, FallsBackWhenAbsent) {
  google::protobuf::Duration value;
  value.set_seconds(2);
  value.set_nanos(500000000);
  EXPECT_EQ(DurationOr(true, value, absl::Hours(1)), absl::Milliseconds(2500));
  EXPECT_EQ(DurationOr(false, value, absl::Hours(1)), absl::Hours(1));
}

TEST(LoadConfig, ReportsMistakesOfSyntaxAndOfMeaningTogether) {
  const std::string path = std::string(getenv("TEST_TMPDIR")) + "/authority.yaml";
  ASSERT_TRUE(WriteFileAtomically(path, "data_dri: /d\n", 0600).ok());
  config::AuthorityConfig config;
  const absl::Status status = LoadConfig(path, config, [](const auto& loaded, ConfigProblems& problems) {
    if (loaded.trust_domain().empty()) problems.Add("trust_domain", "it is required");
  });
  EXPECT_EQ(status.message(), path + ": 2 mistakes:\n"
                                     "  data_dri: there is no such field: did you mean data_dir? (line 1)\n"
                                     "  trust_domain: it is required");
}

}  // namespace
}  // namespace lanyard
