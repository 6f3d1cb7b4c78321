// /metrics of an agent. Pure.
//
// Labels are bounded: result (2), report (2), when (2). No label holds an address or a SPIFFE ID.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "identity/admin/process_stats.h"
#include "identity/agent/workload_view.h"

namespace lanyard {

struct AgentFigures {
  std::shared_ptr<const WorkloadView> view;     // null until there is a first state
  size_t entries_left_out = 0;                  // at SvidCache::kMaxEntries
  uint64_t svids_renewed = 0;
  uint64_t svid_failures = 0;
  size_t streams_open = 0;
  uint64_t streams_refused = 0;                 // at a limit
  uint64_t connections_refused = 0;             // of the socket, at a limit: at once
  uint64_t connections_ended = 0;               // or later
  uint64_t answers_sent = 0;
  uint64_t statuses_left_out = 0;               // of proxies, of what is told the authority, for a limit
  uint64_t observed_left_out = 0;
  bool connected = false;                       // to the authority
  uint64_t connections = 0;                     // ever begun
  std::optional<absl::Time> node_not_after;     // nothing before the node has attested
  absl::Time start_time;
};

std::string AgentMetricsText(const AgentFigures& figures, const ProcessStats& process, absl::Time now);

}  // namespace lanyard
