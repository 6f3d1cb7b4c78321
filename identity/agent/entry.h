// What the authority tells a node: which workloads may have which identity, and whom to trust.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "identity/policy/ban.h"
#include "identity/policy/policy.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// One identity of this node's workloads. The authority decides its lifetime and names; the
// agent only has to know when they change, because then a new SVID is due.
struct WorkloadEntry {
  std::string id;
  SpiffeId spiffe_id;
  std::vector<std::string> selectors;  // "unix:uid:1000"; a caller must have them all, and none matches nobody
  int64_t x509_svid_ttl_seconds = 0;   // 0: the authority's default
  std::vector<std::string> dns_names;
  std::string hint;

  friend bool operator==(const WorkloadEntry&, const WorkloadEntry&) = default;
};

// Rules of the registry for the workloads they name. They are carried, not read: proxies validate them.
struct WorkloadRules {
  std::string name;                    // of the policy or route set
  std::vector<PeerPattern> workloads;
  std::string view;                    // a piece of a serialized lanyard.mesh.v1.View: pieces in a row are one View

  friend bool operator==(const WorkloadRules&, const WorkloadRules&) = default;
};

// What the registry says of who may talk to whom, as far as it concerns this node.
struct NodeMesh {
  uint64_t version = 0;                // grows with every change in the registry; 0: that authority knows no mesh
  std::vector<WorkloadRules> rules;    // policies by name, then route sets in the order in which they match
  std::string bans;                    // in force; likewise a piece of a View
  BanSet ban_set = {};                 // the same, as far as this agent can read them: whom it hands nothing out

  friend bool operator==(const NodeMesh&, const NodeMesh&) = default;
};

// Whole: it replaces what was known before.
struct NodeState {
  uint64_t revision = 0;
  std::vector<WorkloadEntry> entries;  // in the authority's order; ids are unique
  BundleSet bundles;
  std::shared_ptr<const NodeMesh> mesh = nullptr;  // null: nothing that can be read
  bool whole = true;                   // false: some entry could not be read, and is left out
};

}  // namespace lanyard
