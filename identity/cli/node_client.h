// How the agent of this node says it stands (api/lanyard/node), as a plain value.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lanyard {

struct NodeRecord {
  std::string version;
  std::string agent;      // its SPIFFE ID; "": it has none
  std::string authority;  // the address where it looks for the authority
  bool connected = false;
  absl::Time since;  // connected, or not
  std::string last_error;  // why it is not, or what it leaves out of what the authority says
};

// `address`: as WorkloadApiAddress gives it. Unimplemented where an agent of an older version answers, or another
// program's Workload API.
absl::StatusOr<NodeRecord> GetNodeStatus(const std::string& address, absl::Duration timeout);

}  // namespace lanyard
