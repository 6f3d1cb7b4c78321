// /metrics of an authority. Pure.
//
// Labels are bounded: kind (2), state (3), reason (the refusal reasons; of connections 2). No label holds a serial or a
// SPIFFE ID.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/admin/process_stats.h"
#include "identity/authority/issuing_counters.h"
#include "identity/registry/records.h"

namespace lanyard {

struct AuthorityFigures {
  const IssuingCounters* issuing = nullptr;  // never null
  std::vector<AuthorityRecord> authorities;
  size_t agents_connected = 0;
  uint64_t connections_accepted = 0;         // on the agents' address
  uint64_t connections_refused = 0;          // at the limit of connections
  uint64_t handshakes_failed = 0;
  uint64_t anonymous_ended = 0;              // connections without an SVID: for others, or in time
  size_t entries = 0;
  uint64_t registry_revision = 0;
  uint64_t mesh_version = 0;
  size_t policies = 0;
  size_t route_sets = 0;
  size_t bans = 0;
  uint64_t streams_limited = 0;          // of agents, ended or refused by a limit
  size_t banned_svids_not_named = 0;
  uint64_t signings_not_remembered = 0;  // at SigningAllowance::kMaxPairs
  uint64_t schedule_failures = 0;
  uint64_t proxy_reports_refused = 0;  // for a limit
  absl::Time start_time;
};

std::string AuthorityMetricsText(const AuthorityFigures& figures, const ProcessStats& process, absl::Time now);

}  // namespace lanyard
