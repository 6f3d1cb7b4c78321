#include "identity/agent/mesh_answer.h"

#include <algorithm>

#include "identity/policy/workload_rules.h"

namespace lanyard {

MeshAnswer MeshAnswerFor(const NodeMesh& mesh, absl::Span<const SpiffeId> ids, const std::optional<SpiffeId>& shown) {
  const auto said = shown.has_value() ? std::find(ids.begin(), ids.end(), *shown) : ids.begin();
  const size_t index = said == ids.end() ? 0 : static_cast<size_t>(said - ids.begin());
  const absl::Span<const SpiffeId> whose = ids.subspan(index, 1);   // none of none
  MeshAnswer answer{.version = mesh.version,
                    .spiffe_ids = {ids.begin(), ids.end()},
                    .spiffe_id = std::nullopt,
                    .has_rules = false,
                    .rules = {},
                    .bans = mesh.bans};
  if (!whose.empty()) answer.spiffe_id = whose.front();
  for (const WorkloadRules& rules : mesh.rules) {
    if (!SpeaksOf(rules.workloads, whose)) continue;
    answer.has_rules = true;
    answer.rules += rules.view;
  }
  return answer;
}

MeshAnswer MeshAnswerAfter(const NodeMesh& mesh, const MeshAnswer& last) {
  MeshAnswer answer = last;
  answer.version = mesh.version;
  answer.bans = mesh.bans;
  return answer;
}

}  // namespace lanyard
