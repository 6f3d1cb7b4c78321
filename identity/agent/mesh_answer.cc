#include "identity/agent/mesh_answer.h"

#include "identity/policy/workload_rules.h"

namespace lanyard {

MeshAnswer MeshAnswerFor(const NodeMesh& mesh, absl::Span<const SpiffeId> ids) {
  MeshAnswer answer{.version = mesh.version, .spiffe_ids = {ids.begin(), ids.end()}, .has_rules = false, .view = {}};
  for (const WorkloadRules& rules : mesh.rules) {
    if (!SpeaksOf(rules.workloads, ids)) continue;
    answer.has_rules = true;
    answer.view += rules.view;
  }
  answer.view += mesh.bans;
  return answer;
}

}  // namespace lanyard
