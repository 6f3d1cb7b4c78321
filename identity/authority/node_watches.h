// The agents that are connected: a watch for each WatchNode stream, woken when what it shows has changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
  // An agent has one, and for a moment two when it renews its SVID.
  static constexpr size_t kMaxOfAgent = 4;
  // With those that have been told to end, and wait for a message to be taken: an agent that reads nothing has no more.
  static constexpr size_t kMaxOfAgentWithEnding = 32;

  explicit NodeWatches(size_t max_watches = 10'000) : max_watches_(max_watches) {}

  // Where the agent has kMaxOfAgent, its oldest is ended: the newest is the one that it knows of. ResourceExhausted at
  // max_watches and kMaxOfAgentWithEnding; Unavailable after EndAll.
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
  uint64_t limit_reached() const;  // times that a limit ended or refused one

 private:
  struct OfAgent {
    std::deque<NodeWatch*> open;  // the oldest first
    std::set<NodeWatch*> ending;
  };

  const size_t max_watches_;
  mutable std::mutex mutex_;
  std::map<SpiffeId, OfAgent> watches_;
  size_t count_ = 0;
  uint64_t limit_reached_ = 0;
  bool ended_ = false;
};

}  // namespace lanyard
