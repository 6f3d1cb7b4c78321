#include "identity/admin/metric_families.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

TEST(MetricFamilies, AFamilyHasItsHelpItsTypeAndItsValues) {
  MetricFamilies out("lanyard_test_");
  out.Counter("calls_total", "Calls.").Value(uint64_t{3}, {{"kind", "a"}}).Value(uint64_t{4}, {{"kind", "b"}});
  out.Gauge("open", "Open now.").Value(true);
  const std::string text = out.Text();
  EXPECT_THAT(text, HasSubstr("# HELP lanyard_test_calls_total Calls.\n# TYPE lanyard_test_calls_total counter\n"
                              "lanyard_test_calls_total{kind=\"a\"} 3\nlanyard_test_calls_total{kind=\"b\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_test_open 1\n"));
}

TEST(MetricFamilies, BucketsCountEverythingUpToTheirBound) {
  MetricFamilies out("lanyard_test_");
  const double bounds[] = {0.5, 2};
  const uint64_t counts[] = {3, 0, 4};
  out.Histogram("wait_seconds", "Waits.").Buckets(bounds, counts, 12.5);
  const std::string text = out.Text();
  EXPECT_THAT(text, HasSubstr("lanyard_test_wait_seconds_count 7\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_test_wait_seconds_sum 12.5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_test_wait_seconds_bucket{le=\"0.5\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_test_wait_seconds_bucket{le=\"2\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_test_wait_seconds_bucket{le=\"+Inf\"} 7\n"));
}

TEST(MetricFamilies, EveryProcessSaysWhatItIs) {
  MetricFamilies out("lanyard_test_");
  ProcessStats process;
  process.threads = 5;
  out.AddProcess(process, absl::FromUnixSeconds(1'767'225'600));
  EXPECT_THAT(out.Text(), HasSubstr("lanyard_test_process_threads 5\n"));
  EXPECT_THAT(out.Text(), HasSubstr("lanyard_test_process_start_time_seconds 1767225600\n"));
  EXPECT_THAT(out.Text(), HasSubstr("lanyard_test_build_info{version=\""));
}

}  // namespace
}  // namespace lanyard
