// What the mesh knows that concerns one workload of this node. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "identity/agent/entry.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// One View of lanyard.mesh.v1, in the making.
struct MeshAnswer {
  uint64_t version = 0;
  std::vector<SpiffeId> spiffe_ids;  // whose it is; first is the default
  bool has_rules = false;            // some policy or route set names one of them
  std::string rules;                 // pieces of a View in a row (WorkloadRules::view)
  std::string bans;                  // another (NodeMesh::bans)

  friend bool operator==(const MeshAnswer&, const MeshAnswer&) = default;
};

// The rules of every policy and route set that names one of the IDs, in `mesh`'s order, and every ban.
MeshAnswer MeshAnswerFor(const NodeMesh& mesh, absl::Span<const SpiffeId> ids);
// Likewise for a workload whose entries are gone since it was given `last`: the rules of then, which the authority has
// stopped sending, and the bans of now. It may hold a valid SVID and open connections for a while.
MeshAnswer MeshAnswerAfter(const NodeMesh& mesh, const MeshAnswer& last);

}  // namespace lanyard
