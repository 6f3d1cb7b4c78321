// One View of lanyard.mesh.v1 as values that cannot be wrong, and what a proxy says in return.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/policy/ban.h"
#include "identity/policy/policy.h"
#include "identity/policy/route.h"
#include "identity/spiffe/spiffe_id.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// Immutable and whole.
struct MeshUpdate {
  uint64_t version = 0;              // 0: the registry never held anything
  std::vector<SpiffeId> spiffe_ids;  // of this workload, by the agent's entries
  std::optional<SpiffeId> spiffe_id = std::nullopt;  // of these, whose rules they are; none: of all, by an older agent
  bool has_rules = false;            // some policy or route set of the registry speaks of this workload
  std::vector<Route> routes;         // in order
  InboundPolicy inbound;
  std::vector<Ban> bans;
  std::string content;               // equal for views that say the same, whatever their versions
  std::string bytes;                 // the View as it came, to be kept
};

// ProxyStatus of that API.
struct ProxyStatus {
  uint64_t view_version = 0;
  uint64_t refused_view_version = 0;
  std::string refused_view_error;
  std::string spiffe_id;
  std::string serial;
  absl::Time not_after = absl::UnixEpoch();
  uint64_t open_connections = 0;

  friend bool operator==(const ProxyStatus&, const ProxyStatus&) = default;
};

// Observed of that API.
struct ObservedReport {
  absl::Time at;
  std::vector<ObservedCall> calls;  // the latest first
  uint64_t left_out = 0;            // kinds of call that are not among them
};

}  // namespace lanyard
