// The open connections of one worker.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "proxy/mesh/observation.h"

namespace lanyard {

class Connection;

// For the worker's thread. A connection enters before its first check and leaves when it
// closes, so that no change of the view misses one. Does not own: a connection owns itself.
class ConnectionTable {
 public:
  void Enter(Connection* connection);
  void Leave(Connection* connection);
  size_t size() const { return connections_.size(); }

  // Each open connection against the view now in force; those that are no longer allowed close.
  void Recheck();
  // Closes all, reason drain_deadline.
  void CloseAll();
  std::vector<ConnectionRecord> List() const;

  // Runs once, when the table is empty: now, or when the last one leaves.
  void WhenEmpty(std::function<void()> callback);

 private:
  std::vector<Connection*> connections_;  // each knows its place
  std::function<void()> when_empty_;
};

}  // namespace lanyard
