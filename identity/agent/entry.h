// What the authority tells a node: which workloads may have which identity, and whom to trust.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

// Whole: it replaces what was known before.
struct NodeState {
  uint64_t revision = 0;
  std::vector<WorkloadEntry> entries;  // in the authority's order; ids are unique
  BundleSet bundles;
};

}  // namespace lanyard
