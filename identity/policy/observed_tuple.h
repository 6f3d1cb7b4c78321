// One kind of call that a proxy decided lately, and how: what `lanyard policy replay` tries a candidate on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace lanyard {

struct ObservedTuple {
  bool inbound = true;
  std::string local_id;      // empty: the proxy had no identity then
  std::string peer_id;       // empty: plaintext, pass-through, or never known
  std::string destination;   // outbound
  uint16_t port = 0;
  bool captured = false;     // false: by a static listener, whose rules stand in proxy.yaml
  bool allowed = false;
  std::string rule;          // empty where none allowed it
  uint64_t count = 0;
  absl::Time last_seen = absl::InfinitePast();  // InfinitePast: not said
  std::string seen_by;       // where it was learnt: an agent, an admin address, a file
};

}  // namespace lanyard
