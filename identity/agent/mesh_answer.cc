#include "identity/agent/mesh_answer.h"

#include "identity/policy/workload_rules.h"

namespace lanyard {

MeshAnswer MeshAnswerFor(const NodeMesh& mesh, absl::Span<const SpiffeId> ids) {
  MeshAnswer answer{.version = mesh.version,
                    .spiffe_ids = {ids.begin(), ids.end()},
                    .has_rules = false,
                    .rules = {},
                    .bans = mesh.bans};
  for (const WorkloadRules& rules : mesh.rules) {
    if (!SpeaksOf(rules.workloads, ids)) continue;
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
