// What candidate rules say of the calls that proxies observed lately (/observed of their admin address), beside what
// was decided then. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/cli/rules_file_proto.h"
#include "identity/policy/ban.h"

namespace lanyard {

// One line of /observed.
struct ObservedTuple {
  bool inbound = true;
  std::string local_id;
  std::string peer_id;      // empty: plaintext or pass-through
  std::string destination;  // outbound
  uint16_t port = 0;
  bool captured = false;    // false: by a static listener, whose rules stand in proxy.yaml
  bool allowed = false;
  std::string rule;
  uint64_t count = 0;
};

// The JSON of /observed; InvalidArgument says what is wrong.
absl::StatusOr<std::vector<ObservedTuple>> ParseObserved(absl::string_view json);

struct ReplayedTuple {
  enum class Outcome {
    kUnchanged,
    kNewlyDenied,
    kNewlyAllowed,
    kNotConcerned,  // these rules do not speak of it: a static listener, a workload that none of them names
    kUnknown,       // it cannot be said without trying: mutual TLS with a peer that was never asked who it is
  };
  ObservedTuple tuple;
  Outcome outcome = Outcome::kUnchanged;
  std::string rule;    // that decides now; empty where none allows
  std::string reason;  // one sentence
};

// "unchanged", "newly_denied", "newly_allowed", "not_concerned", "unknown".
absl::string_view OutcomeName(ReplayedTuple::Outcome outcome);

// In the order of `observed`. `rules` are all there are.
std::vector<ReplayedTuple> Replay(const RulesFile& rules, const BanSet& bans,
                                  const std::vector<ObservedTuple>& observed, absl::Time now);

// What would stand in the registry once `candidate` is applied: records of the same name are replaced.
RulesFile AppliedOver(RulesFile registry, const RulesFile& candidate);

}  // namespace lanyard
