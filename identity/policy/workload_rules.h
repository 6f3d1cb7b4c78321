// Rules of several workloads, as the registry keeps them, and those of one, as
// its proxy runs them. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "identity/policy/policy.h"
#include "identity/policy/route.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Who may call the workloads it names. Of several that name a workload all
// rules hold together.
struct WorkloadPolicy {
  std::string name;                    // a DNS label
  std::vector<PeerPattern> workloads;  // at least one
  std::vector<PolicyRule> rules;       // none: nobody may call

  friend bool operator==(const WorkloadPolicy &, const WorkloadPolicy &) = default;
};

// Where captured connections of the workloads it names go. Of several sets that
// of lower order, then name, is first.
struct WorkloadRoutes {
  std::string name;
  std::vector<PeerPattern> workloads;
  std::vector<Route> routes;
  uint32_t order = 0;

  friend bool operator==(const WorkloadRoutes &, const WorkloadRoutes &) = default;
};

// "policy/rule": the name of a rule where the rules of several policies stand
// together, in logs and explanations.
std::string JoinedName(absl::string_view record, absl::string_view rule);

// Whether one of `patterns` matches one of `ids`.
bool SpeaksOf(const std::vector<PeerPattern> &patterns, absl::Span<const SpiffeId> ids);

// What a process that is all of `ids` lets in: the rules of every policy that
// speaks of one of them, in the order of the policies, under joined names.
// Nothing if no policy does: then the registry says nothing of it, which is not
// the same as that nobody may call.
std::optional<InboundPolicy> InboundOf(absl::Span<const WorkloadPolicy> policies, absl::Span<const SpiffeId> ids);

// Likewise its routes, under joined names, in the order of `sets`, which is
// that of SortRoutes.
std::vector<Route> RoutesOf(absl::Span<const WorkloadRoutes> sets, absl::Span<const SpiffeId> ids);

// By order, then name.
void SortRoutes(std::vector<WorkloadRoutes> &sets);

}  // namespace lanyard
