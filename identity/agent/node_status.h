// How a node stands with its authority, as a value.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

struct NodeStatus {
  std::optional<SpiffeId> agent;         // none before it attested
  std::optional<absl::Time> not_after;   // of its own SVID
  bool connected = false;
  absl::Time since;                      // connected, or not
  std::string last_error;                // why it is not connected, or what it then leaves out; else empty
};

}  // namespace lanyard
