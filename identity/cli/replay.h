// What candidate rules say of the calls that proxies observed lately (as they told the authority, or from /observed of
// their admin address), beside what was decided then. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/cli/observed_proxy.h"
#include "identity/cli/rules_file_proto.h"
#include "identity/policy/ban.h"
#include "identity/policy/observed_tuple.h"

namespace lanyard {

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

// A proxy that tells every minute and was not heard for so long has something the matter.
inline constexpr absl::Duration kOldReport = absl::Minutes(3);

// Whom the calls do not come from, or not any more: an answer without them may be wrong.
struct SilentProxy {
  std::string agent;
  std::string spiffe_id;  // empty: of no proxy is anything known
  std::string reason;     // one sentence
};
std::vector<SilentProxy> SilentOf(const std::vector<ObservedProxy>& proxies, absl::Time now);

// What would stand in the registry once `candidate` is applied: records of the same name are replaced.
RulesFile AppliedOver(RulesFile registry, const RulesFile& candidate);

}  // namespace lanyard
