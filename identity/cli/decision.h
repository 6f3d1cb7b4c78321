// What the registry's policies and bans say of one call, and why: the same evaluation that a proxy makes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/policy/ban.h"
#include "identity/policy/workload_rules.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

struct Call {
  SpiffeId workload;  // who is called
  uint16_t port = 0;
  std::optional<SpiffeId> peer;  // nothing: plaintext
  std::string serial = "";       // of the peer's SVID, where a ban of it is asked about
  std::optional<SpiffeId> agent = std::nullopt;  // through which it was issued, likewise
};

// One rule of a policy that speaks of the workload, and why it allows the call or does not.
struct ConsideredRule {
  std::string policy;
  std::string rule;
  bool allows = false;
  std::string reason;
};

struct CallDecision {
  bool allowed = false;
  std::string reason;  // one sentence
  std::string policy;  // that allows; empty when denied
  std::string rule;
  std::vector<ConsideredRule> considered;
};

CallDecision Decide(const std::vector<WorkloadPolicy>& policies, const BanSet& bans, const Call& call, absl::Time now);

}  // namespace lanyard
