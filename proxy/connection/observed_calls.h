// Who called what lately, and what was decided: so that a change of policy can be tried on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/connection/counters.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// For the worker's thread. Bounded: the call not seen for longest makes room for a new one, and is counted.
class ObservedCalls {
 public:
  static constexpr size_t kMaxCalls = 1024;

  explicit ObservedCalls(size_t max_calls = kMaxCalls) : max_calls_(max_calls) {}

  // `call`: everything but count and last_seen, which are kept here.
  void Add(const ObservedCall& call, absl::Time now);
  // The latest first.
  std::vector<ObservedCall> List() const { return {calls_.begin(), calls_.end()}; }
  uint64_t forgotten() const { return forgotten_.value(); }  // from any thread

 private:
  const size_t max_calls_;
  std::list<ObservedCall> calls_;
  absl::flat_hash_map<std::string, std::list<ObservedCall>::iterator> by_key_;
  std::string key_;  // made anew for each call, without a new allocation
  Counter forgotten_;
};

}  // namespace lanyard
