// What the mesh knows that concerns one workload of this node. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "identity/agent/entry.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// One View of lanyard.mesh.v1, in the making.
struct MeshAnswer {
  uint64_t version = 0;
  std::vector<SpiffeId> spiffe_ids;  // of the caller; first is the default
  std::optional<SpiffeId> spiffe_id = std::nullopt;  // of these, whose rules they are
  bool has_rules = false;            // some policy or route set names it
  std::string rules;                 // pieces of a View in a row (WorkloadRules::view)
  std::string bans;                  // another (NodeMesh::bans)

  friend bool operator==(const MeshAnswer&, const MeshAnswer&) = default;
};

// The rules of every policy and route set that names the ID which the caller shows, in `mesh`'s order, and every ban.
// Where it has not said what it shows, or what is none of its `ids`, the default counts: never the rules of all
// together, by which one identity would be reached or routed as another.
MeshAnswer MeshAnswerFor(const NodeMesh& mesh, absl::Span<const SpiffeId> ids,
                         const std::optional<SpiffeId>& shown = std::nullopt);
// Likewise for a workload whose entries are gone since it was given `last`: the rules of then, which the authority has
// stopped sending, and the bans of now. It may hold a valid SVID and open connections for a while.
MeshAnswer MeshAnswerAfter(const NodeMesh& mesh, const MeshAnswer& last);

}  // namespace lanyard
