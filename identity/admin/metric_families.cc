#include "identity/admin/metric_families.h"

#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/version.h"

namespace lanyard {

using prometheus::MetricType;

MetricFamilies& MetricFamilies::Counter(absl::string_view name, absl::string_view help) {
  return Start(name, help, MetricType::Counter);
}

MetricFamilies& MetricFamilies::Gauge(absl::string_view name, absl::string_view help) {
  return Start(name, help, MetricType::Gauge);
}

MetricFamilies& MetricFamilies::Histogram(absl::string_view name, absl::string_view help) {
  return Start(name, help, MetricType::Histogram);
}

MetricFamilies& MetricFamilies::Start(absl::string_view name, absl::string_view help, MetricType type) {
  families_.push_back({absl::StrCat(prefix_, name), std::string(help), type, {}});
  return *this;
}

MetricFamilies& MetricFamilies::Value(double value, Labels labels) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
  families_.back().metric.push_back(std::move(metric));
  return *this;
}

MetricFamilies& MetricFamilies::Buckets(absl::Span<const double> bounds, absl::Span<const uint64_t> counts, double sum,
                                        Labels labels) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    const double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({below, bound});
  }
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = sum;
  families_.back().metric.push_back(std::move(metric));
  return *this;
}

void MetricFamilies::AddProcess(const ProcessStats& process, absl::Time start_time) {
  Counter("process_cpu_seconds_total", "Processor time used, user and system.").Value(process.cpu_seconds);
  Gauge("process_resident_memory_bytes", "Resident memory.").Value(process.resident_memory_bytes);
  Gauge("process_open_fds", "Open file descriptors.").Value(process.open_fds);
  Gauge("process_max_fds", "Limit of open file descriptors.").Value(process.max_fds);
  Gauge("process_threads", "Threads.").Value(process.threads);
  Gauge("process_start_time_seconds", "Start of the process, in Unix time.")
      .Value(absl::ToDoubleSeconds(start_time - absl::UnixEpoch()));
  Gauge("build_info", "Always 1; the version is a label.").Value(1.0, {{"version", kVersion}});
}

std::string MetricFamilies::Text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families_);
  return std::move(out).str();
}

}  // namespace lanyard
