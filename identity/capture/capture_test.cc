#include "identity/capture/capture.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;

std::string Listing(const std::vector<std::string>& notes) {
  std::string text = R"({"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"name": "lanyard"}})";
  for (const std::string& note : notes) {
    absl::StrAppend(&text, R"(, {"rule": {"chain": "notes", "comment": ")", note, R"(", "expr": [{"return": null}]}})");
  }
  return absl::StrCat(text, R"(, {"rule": {"chain": "guard", "comment": "shape 9", "expr": []}}]})");
}

TEST(CaptureListingTest, TheNotesSayWhatIsInForce) {
  const auto found = ParseCaptureListing(Listing({"shape 4", "--mode tproxy", "--proxy-uid 7"}), {});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->shape, 4);
  EXPECT_EQ(found->rules.mode, CaptureMode::kTproxy);
  EXPECT_EQ(found->rules.proxy_uid, 7u);
}

TEST(CaptureListingTest, CountersAreThoseOfTheChains) {
  const std::string rule = R"({"rule": {"chain": "CHAIN", "expr": [{"counter": {"packets": 3, "bytes": 180}}]}})";
  const auto of = [&](const std::string& chain) { return absl::StrReplaceAll(rule, {{"CHAIN", chain}}); };
  const auto found = ParseCaptureListing(
      absl::StrCat(R"({"nftables": [)", of("take_outbound"), ",", of("take_inbound"), ",", of("take_outbound"), ",",
                   R"({"rule": {"chain": "odd", "expr": [{"counter": "name"}, 7]}}]})"),
      {});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->counters, ElementsAre(testing::Pair("take_outbound", 6), testing::Pair("take_inbound", 3)));
}

TEST(CaptureListingTest, WhatAnotherVersionLaidIsFoundAndNotRead) {
  EXPECT_EQ(ParseCaptureListing(Listing({}), {})->shape, 0);
  EXPECT_EQ(ParseCaptureListing(Listing({"shape 5", "--of-a-later-version"}), {})->shape, 5);
}

TEST(CaptureListingTest, NotesThatSayNothingAreAnError) {
  EXPECT_FALSE(ParseCaptureListing(Listing({"shape 4", "--mode sideways"}), {}).ok());
  EXPECT_FALSE(ParseCaptureListing(Listing({"shape two"}), {}).ok());
}

TEST(CaptureListingTest, WhatIsNoListingIsAnError) {
  for (const char* text : {"", "[]", "{}", R"({"nftables": 1})", "{"}) {
    EXPECT_FALSE(ParseCaptureListing(text, {}).ok()) << text;
  }
}

TEST(CaptureNotesTest, TheySayWhatIsInForce) {
  const auto found = ParseCaptureNotes("shape 4\n--mode ebpf\n--proxy-uid 7", {});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->rules.mode, CaptureMode::kEbpf);
  EXPECT_EQ(found->rules.proxy_uid, 7u);
  EXPECT_EQ(ParseCaptureNotes("shape 5\n--of-a-later-version", {})->shape, 5);
  for (const char* text : {"", "shape two", "--mode ebpf", "shape 4\n--mode sideways"}) {
    EXPECT_FALSE(ParseCaptureNotes(text, {}).ok()) << text;
  }
}

TEST(CaptureEnvironmentTest, RootHasANumber) {
  const CaptureEnvironment environment = SystemCaptureEnvironment();
  EXPECT_EQ(environment.user("root").value(), 0u);
  EXPECT_EQ(environment.group("root").value(), 0u);
  EXPECT_FALSE(environment.user("no-such-user").ok());
}

}  // namespace
}  // namespace lanyard
