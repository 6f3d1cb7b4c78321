#include "proxy/control/metrics.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<WorkerCounters> TwoWorkers() {
  WorkerCounters a, b;
  a.accepted_inbound = 3;
  b.accepted_inbound = 4;
  a.open_outbound = 1;
  a.bytes_to_mesh = 9'007'199'254'740'993;
  b.handshakes_resumed = 5;
  a.links_broken = b.links_broken = 2;
  a.links_leaving = 3;
  b.limit_links_leaving = 9;
  a.closes_inbound = {{"finished", 2}, {"denied", 1}};
  b.closes_inbound = {{"finished", 4}};
  b.closes_outbound = {{"finished", 8}};
  a.verification_failures = {{"expired", 1}};
  b.limits_reached = {{"max_handshakes", 6}};
  b.view_version = 2;
  a.access_log_sampled_out = 4;
  b.access_log_sampled_out = 7;
  a.handshake_durations.counts[1] = 2;
  b.handshake_durations.counts[1] = 1;
  b.handshake_durations.sum_seconds = 0.5;
  return {a, b};
}

std::string Text(ControlCounters control = {}) { return MetricsText(TwoWorkers(), control, ProcessStats()); }

TEST(MetricsText, SumsTheWorkers) {
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_connections_accepted_total{direction=\"inbound\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_connections_open{direction=\"outbound\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_connections_closed_total{direction=\"inbound\",reason=\"finished\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_connections_closed_total{direction=\"inbound\",reason=\"denied\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("lanyard_proxy_connections_closed_total{direction=\"outbound\",reason=\"finished\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_handshakes_total{kind=\"resumed\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_verification_failures_total{defect=\"expired\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_links_broken_total 4\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_leaving_links 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_limit_reached_total{limit=\"leaving_links\"} 9\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_limit_reached_total{limit=\"max_handshakes\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_worker_view_version{worker=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_handshake_duration_seconds_bucket{le=\"0.00025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_handshake_duration_seconds_bucket{le=\"0.001\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_handshake_duration_seconds_sum 0.5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_connection_duration_seconds_count 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_access_log_lines_total{result=\"sampled_out\"} 11\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_mesh_sent_bytes_total 9007199254740992\n"));
}

TEST(MetricsText, SaysWhatTheControlThreadKnows) {
  ControlCounters control;
  control.ready = true;
  control.view_version = 7;
  control.has_identity = true;
  control.identity_not_after = absl::FromUnixSeconds(1'800'000'000);
  control.identity_not_before = absl::FromUnixSeconds(1'799'999'880);
  control.now = absl::FromUnixSeconds(1'799'999'940);
  control.identity_withdrawn = true;
  control.identity_rotations = 12;
  control.log_lines_dropped = 31;
  control.config_reload_failures = 2;
  control.start_time = absl::FromUnixSeconds(1'767'225'600);
  const std::string text = Text(control);
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_log_lines_dropped_total 31\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_ready 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_view_version 7\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_identity_not_after_timestamp_seconds 1800000000\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_identity_expires_in_seconds 60\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_identity_remaining_ratio 0.5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_identity_withdrawn 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_identity_rotations_total 12\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_config_reloads_total{result=\"refused\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_process_start_time_seconds 1767225600\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_build_info{version=\""));
}

TEST(MetricsText, BeforeTheFirstIdentityThereIsNoExpiry) {
  EXPECT_THAT(Text(), Not(HasSubstr("identity_not_after")));
  EXPECT_THAT(Text(), Not(HasSubstr("identity_withdrawn")));
  EXPECT_THAT(Text(), HasSubstr("lanyard_proxy_ready 0\n"));
}

// The text format of Prometheus 0.0.4: HELP and TYPE once, before the samples of their family;
// counters end in _total; no series twice.
TEST(MetricsText, SaysWhichViewOfTheMeshIsInUseWhereThereIsAMesh) {
  EXPECT_THAT(Text(), Not(HasSubstr("lanyard_proxy_mesh_connected")));
  ControlCounters control;
  control.has_mesh = true;
  control.mesh_connected = true;
  control.mesh_source = "agent";
  control.mesh_view_version = 42;
  control.mesh_views_refused = 3;
  const std::string text = Text(control);
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_mesh_connected 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_mesh_view_version{source=\"agent\"} 42\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_mesh_bans_known 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_proxy_mesh_views_total{result=\"refused\"} 3\n"));
  control.mesh_source = "none";
  EXPECT_THAT(Text(control), HasSubstr("lanyard_proxy_mesh_bans_known 0\n"));
}

TEST(MetricsText, IsWellFormed) {
  const auto sample = testing::MatchesRegex(R"([a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+)");
  std::map<std::string, std::string> types;
  std::set<std::string> helped, series;
  for (absl::string_view line : absl::StrSplit(Text(), '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "#") {
      const bool first = words[1] == "HELP" ? helped.insert(words[2]).second : types.emplace(words[2], words[3]).second;
      EXPECT_TRUE(first) << line;
      continue;
    }
    EXPECT_THAT(std::string(line), sample);
    EXPECT_TRUE(absl::StartsWith(line, "lanyard_proxy_")) << line;
    EXPECT_TRUE(series.insert(words[0]).second) << line;
    std::string name = words[0].substr(0, words[0].find('{'));
    for (const char* part : {"_bucket", "_sum", "_count"}) {
      const std::string family(absl::StripSuffix(name, part));
      if (types.count(family) == 1 && types[family] == "histogram") name = family;
    }
    ASSERT_TRUE(types.count(name)) << line;
    EXPECT_EQ(types[name] == "counter", absl::EndsWith(name, "_total")) << line;
  }
  EXPECT_GT(series.size(), 30u);
  EXPECT_EQ(helped.size(), types.size());
}

}  // namespace
}  // namespace lanyard
