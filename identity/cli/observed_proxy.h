// What one proxy of the mesh observed lately, or that it has not said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/policy/observed_tuple.h"

namespace lanyard {

struct ObservedProxy {
  std::string agent;             // SPIFFE ID
  bool agent_connected = false;  // false: nothing is known of its proxies, and nothing else stands here
  std::string spiffe_id;         // the identity the proxy shows; empty: none yet
  std::optional<absl::Time> reported_at;  // by the proxy's clock; nothing: it has not reported
  uint64_t left_out = 0;         // kinds of call that it forgot, or that a limit left out
  std::vector<ObservedTuple> tuples;
};

}  // namespace lanyard
