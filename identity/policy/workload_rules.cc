#include "identity/policy/workload_rules.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {

std::string JoinedName(absl::string_view record, absl::string_view rule) { return absl::StrCat(record, "/", rule); }

bool SpeaksOf(const std::vector<PeerPattern> &patterns, absl::Span<const SpiffeId> ids) {
  return std::any_of(ids.begin(), ids.end(), [&](const SpiffeId &id) { return MatchesAny(patterns, id); });
}

std::optional<InboundPolicy> InboundOf(absl::Span<const WorkloadPolicy> policies, absl::Span<const SpiffeId> ids) {
  bool spoken_of = false;
  std::vector<PolicyRule> rules;
  for (const WorkloadPolicy &policy : policies) {
    if (!SpeaksOf(policy.workloads, ids)) continue;
    spoken_of = true;
    for (PolicyRule rule : policy.rules) {
      rule.name = JoinedName(policy.name, rule.name);
      rules.push_back(std::move(rule));
    }
  }
  if (!spoken_of) return std::nullopt;
  absl::StatusOr<InboundPolicy> joined = InboundPolicy::Create(std::move(rules));
  // Parsed rules join without error. Should they not, nobody is let in.
  return joined.ok() ? *std::move(joined) : InboundPolicy();
}

std::vector<Route> RoutesOf(absl::Span<const WorkloadRoutes> sets, absl::Span<const SpiffeId> ids) {
  std::vector<Route> routes;
  for (const WorkloadRoutes &set : sets) {
    if (!SpeaksOf(set.workloads, ids)) continue;
    for (Route route : set.routes) {
      route.name = JoinedName(set.name, route.name);
      routes.push_back(std::move(route));
    }
  }
  return routes;
}

void SortRoutes(std::vector<WorkloadRoutes> &sets) {
  std::sort(sets.begin(), sets.end(), [](const WorkloadRoutes &a, const WorkloadRoutes &b) {
    return std::tie(a.order, a.name) < std::tie(b.order, b.name);
  });
}

}  // namespace lanyard
