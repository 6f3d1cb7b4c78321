#include "identity/registry/mesh_reports.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

SpiffeId Agent(absl::string_view name) { return *SpiffeId::Parse("spiffe://td/lanyard/agent/" + std::string(name)); }

ProxyReport Report(uint64_t view) {
  ProxyReport report;
  report.view_version = view;
  return report;
}

TEST(MeshReports, AReportReplacesTheOneBefore) {
  MeshReports reports;
  ASSERT_TRUE(reports.Replace(Agent("b"), {Report(1), Report(2)}, kNow).ok());
  ASSERT_TRUE(reports.Replace(Agent("a"), {Report(3)}, kNow).ok());
  ASSERT_TRUE(reports.Replace(Agent("b"), {Report(4)}, kNow + absl::Seconds(1)).ok());
  const auto all = reports.All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].agent, Agent("a"));
  ASSERT_EQ(all[1].proxies.size(), 1u);
  EXPECT_EQ(all[1].proxies[0].view_version, 4u);
  EXPECT_EQ(all[1].reported_at, kNow + absl::Seconds(1));
}

TEST(MeshReports, WhatWasObservedStandsBesideAndIsReplacedByItself) {
  MeshReports reports;
  ASSERT_TRUE(reports.ReplaceObserved(Agent("a"), {{1, "old"}}, kNow).ok());
  ASSERT_TRUE(reports.Replace(Agent("a"), {Report(3)}, kNow).ok());
  ASSERT_TRUE(reports.ReplaceObserved(Agent("a"), {{2, "new"}}, kNow).ok());
  ASSERT_TRUE(reports.Replace(Agent("b"), {Report(4)}, kNow).ok());
  const auto all = reports.All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].proxies.size(), 1u);
  EXPECT_EQ(*all[0].observed, (ObservedByProxies{{2, "new"}}));
  EXPECT_TRUE(all[1].observed->empty());
}

TEST(MeshReports, WhatWasObservedHasLimitsOfAnAgentAndOfAll) {
  MeshReports reports;
  const std::string most(MeshReports::kMaxObservedBytesOfAgent, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(reports.ReplaceObserved(Agent("a"), {{1, most}, {2, "x"}}, kNow)));
  const size_t agents = MeshReports::kMaxObservedBytes / most.size();
  for (size_t i = 0; i < agents; ++i) {
    ASSERT_TRUE(reports.ReplaceObserved(Agent(std::to_string(i)), {{1, most}}, kNow).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(reports.ReplaceObserved(Agent("more"), {{1, "x"}}, kNow)));
  EXPECT_TRUE(reports.ReplaceObserved(Agent("0"), {{7, most}}, kNow).ok()) << "what replaces another needs no room";
  EXPECT_EQ(reports.refused(), 2u);
  reports.Drop(Agent("1"));
  EXPECT_TRUE(reports.ReplaceObserved(Agent("more"), {{1, "x"}}, kNow).ok());
}

TEST(MeshReports, WhatIsDroppedIsGone) {
  MeshReports reports;
  ASSERT_TRUE(reports.Replace(Agent("a"), {Report(1)}, kNow).ok());
  reports.Drop(Agent("a"));
  reports.Drop(Agent("a"));
  EXPECT_TRUE(reports.All().empty());
}

TEST(MeshReports, OneAgentCannotFillTheTable) {
  MeshReports reports;
  EXPECT_TRUE(absl::IsInvalidArgument(
      reports.Replace(Agent("a"), std::vector<ProxyReport>(MeshReports::kMaxProxiesOfAgent + 1), kNow)));
  ProxyReport wordy;
  wordy.refused_view_error = std::string(MeshReports::kMaxTextSizeBytes + 1, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(reports.Replace(Agent("a"), {wordy}, kNow)));
  EXPECT_TRUE(reports.All().empty());
}

TEST(MeshReports, AllAgentsTogetherHaveALimit) {
  MeshReports reports;
  const size_t agents = MeshReports::kMaxProxies / MeshReports::kMaxProxiesOfAgent;
  const std::vector<ProxyReport> many(MeshReports::kMaxProxiesOfAgent);
  for (size_t i = 0; i < agents; ++i) ASSERT_TRUE(reports.Replace(Agent(std::to_string(i)), many, kNow).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(reports.Replace(Agent("more"), {Report(1)}, kNow)));
  EXPECT_TRUE(reports.Replace(Agent("0"), many, kNow).ok()) << "a report that replaces one needs no room";
  reports.Drop(Agent("1"));
  EXPECT_TRUE(reports.Replace(Agent("more"), {Report(1)}, kNow).ok());
}

}  // namespace
}  // namespace lanyard
