// How often one agent may have an SVID of one entry signed. Whoever has a node's key could else have millions signed:
// more than a ban of that agent could name, and than the registry's disk could hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Thread-safe. Borrows the clock, and asks it for monotonic time only. Forgotten with the process: who restarts an
// authority is not the one to be held back.
class SigningAllowance {
 public:
  // An agent that renews at half life has two or three in an SVID's lifetime. The rest is for answers that were lost,
  // and for agents that start anew without what they had. So many at once, and then one each time this part of a
  // lifetime has passed: not more than kAtOnce + kInALifetime live at the same time.
  static constexpr int kAtOnce = 16;
  static constexpr int kInALifetime = 16;
  // Pairs of agent and entry that are remembered; those that were at rest are forgotten first. Beyond it nobody is
  // refused, which is counted.
  static constexpr size_t kMaxPairs = 1'000'000;

  explicit SigningAllowance(const Clock& clock, size_t max_pairs = kMaxPairs) : clock_(clock), max_pairs_(max_pairs) {}

  // Before one is signed that lives for `lifetime`. ResourceExhausted says when the next one will be.
  absl::Status Take(const SpiffeId& agent, const std::string& entry_id, absl::Duration lifetime);
  // What was taken with this lifetime, and then not handed out.
  void GiveBack(const SpiffeId& agent, const std::string& entry_id, absl::Duration lifetime);

  uint64_t not_remembered() const;
  size_t pairs() const;  // remembered now

 private:
  // Until when, by the monotonic clock, one SVID each share of a lifetime was taken: kAtOnce of them may lie ahead.
  using OfAgent = absl::flat_hash_map<std::string, absl::Duration>;

  void ForgetThoseAtRest(absl::Duration now);

  const Clock& clock_;
  const size_t max_pairs_;
  mutable std::mutex mutex_;
  std::map<SpiffeId, OfAgent> agents_;
  size_t pairs_ = 0;
  absl::Duration forgot_at_ = -absl::InfiniteDuration();
  uint64_t not_remembered_ = 0;
};

}  // namespace lanyard
