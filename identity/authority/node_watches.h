// The agents that are connected: one watch for each WatchNode stream, woken when what it shows has changed.
#pragma once

#include <map>
#include <mutex>
#include <set>

#include "absl/status/status.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

class NodeWatch {
 public:
  virtual ~NodeWatch() = default;
  // The state has changed, or may have. Neither call may block, nor call NodeWatches back.
  virtual void Wake() = 0;
  // The stream is over; why.
  virtual void End(const absl::Status& why) = 0;
};

// Thread-safe. Borrows the watches between Add and Remove.
class NodeWatches {
 public:
  explicit NodeWatches(size_t max_watches = 10'000) : max_watches_(max_watches) {}

  // ResourceExhausted at the limit; Unavailable after EndAll.
  absl::Status Add(const SpiffeId& agent, NodeWatch& watch);
  // When it returns, no call into `watch` is running or will come.
  void Remove(const SpiffeId& agent, NodeWatch& watch);

  void WakeAll();
  // Ends the agent's streams.
  void End(const SpiffeId& agent, const absl::Status& why);
  // Ends all, and refuses new ones from now on.
  void EndAll(const absl::Status& why);
  bool IsConnected(const SpiffeId& agent) const;
  size_t agents() const;  // that are connected

 private:
  const size_t max_watches_;
  mutable std::mutex mutex_;
  std::map<SpiffeId, std::set<NodeWatch*>> watches_;
  size_t count_ = 0;
  bool ended_ = false;
};

}  // namespace lanyard
