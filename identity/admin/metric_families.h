// What a process counts, in Prometheus' text format. Pure.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/admin/process_stats.h"

namespace lanyard {

// Families with their values, in the order in which they were named. Label values are bounded sets: no address, no
// SPIFFE ID. Names follow https://prometheus.io/docs/practices/naming/: counters end in _total, units in full.
class MetricFamilies {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  // `prefix` stands before every name: "lanyard_proxy_".
  explicit MetricFamilies(std::string prefix) : prefix_(std::move(prefix)) {}

  // Starts a family; the values that follow belong to it. `name` is without the prefix.
  MetricFamilies& Counter(absl::string_view name, absl::string_view help);
  MetricFamilies& Gauge(absl::string_view name, absl::string_view help);
  MetricFamilies& Histogram(absl::string_view name, absl::string_view help);

  MetricFamilies& Value(double value, Labels labels = {});
  MetricFamilies& Value(uint64_t value, Labels labels = {}) {
    return Value(static_cast<double>(value), std::move(labels));
  }
  MetricFamilies& Value(bool value) { return Value(value ? 1.0 : 0.0); }
  // Of a histogram: how many were at most each bound and above the one before, and, last, above all.
  MetricFamilies& Buckets(absl::Span<const double> bounds, absl::Span<const uint64_t> counts, double sum,
                          Labels labels = {});

  // What every process has: CPU, memory, descriptors, threads, start, build.
  void AddProcess(const ProcessStats& process, absl::Time start_time);

  std::string Text() const;

 private:
  MetricFamilies& Start(absl::string_view name, absl::string_view help, prometheus::MetricType type);

  const std::string prefix_;
  std::vector<prometheus::MetricFamily> families_;
};

inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace lanyard
