// What one node may know, as the message that its stream sends.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "api/lanyard/authority/authority.pb.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Keeps the message between changes, and makes anew only the parts whose source is another than before: after a ban
// neither the entries nor the rules are looked at. Not thread-safe.
class NodeStateMessage {
 public:
  explicit NodeStateMessage(SpiffeId node) : node_(std::move(node)) {}

  // The node's own entries and those of every agent, the oldest first, the bundles, the policies and routes that speak
  // of those entries, and the bans in force at `now`. Valid until the next call.
  const authority::v1::NodeState& Update(std::shared_ptr<const RegistrySnapshot> registry, const MeshSnapshot& mesh,
                                         absl::Time now);

 private:
  void UpdateEntries();
  void UpdateRules();
  void UpdateBans(const MeshSnapshot& mesh, absl::Time now);

  const SpiffeId node_;
  std::shared_ptr<const RegistrySnapshot> registry_;  // those that state_ shows
  std::shared_ptr<const RuleRecords> rules_;
  authority::v1::NodeState state_;
};

}  // namespace lanyard
