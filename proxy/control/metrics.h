// /metrics: everything this proxy counts, in Prometheus' text format. Pure.
//
// Labels are bounded: direction (2), reason (the close reasons), defect (the SVID defects), kind (2), limit (the
// limits), worker (their number), result (4), source (3), cause (3), side (2). No label holds an address or an ID.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/admin/process_stats.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// What is counted outside the workers.
struct ControlCounters {
  bool ready = false;
  uint64_t view_version = 0;
  uint64_t view_acknowledged_version = 0;
  absl::Duration view_acknowledgement_delay;
  bool has_mesh = false;                  // the configuration names an agent to ask
  bool mesh_connected = false;
  std::string mesh_source = "none";       // "agent", "disk", "none"
  uint64_t mesh_view_version = 0;
  uint64_t mesh_views = 0;
  uint64_t mesh_views_refused = 0;
  uint64_t mesh_keep_failures = 0;
  bool has_identity = false;
  absl::Time identity_not_before;
  absl::Time identity_not_after;
  bool identity_withdrawn = false;
  uint64_t identity_rotations = 0;
  uint64_t identity_failures = 0;
  uint64_t bundle_changes = 0;
  uint64_t access_log_written = 0;
  uint64_t access_log_failed = 0;
  uint64_t log_lines_dropped = 0;
  uint64_t tap_watchers = 0;
  uint64_t tap_lost = 0;
  uint64_t config_reloads = 0;
  uint64_t config_reload_failures = 0;
  absl::Time start_time;
  absl::Time now;
};

std::string MetricsText(const std::vector<WorkerCounters>& workers, const ControlCounters& control,
                        const ProcessStats& process);

}  // namespace lanyard
