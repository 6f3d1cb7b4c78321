#include "proxy/connection/table.h"

#include <utility>

#include "proxy/connection/connection.h"

namespace lanyard {

void ConnectionTable::Enter(Connection* connection) {
  connection->place_ = connections_.size();
  connections_.push_back(connection);
}

void ConnectionTable::Leave(Connection* connection) {
  connections_[connection->place_] = connections_.back();
  connections_[connection->place_]->place_ = connection->place_;
  connections_.pop_back();
  if (connections_.empty() && when_empty_) std::exchange(when_empty_, nullptr)();
}

// From the back: one that leaves is replaced by one that was already checked.
void ConnectionTable::Recheck() {
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->Recheck();
}

void ConnectionTable::CloseAll() {
  while (!connections_.empty()) connections_.back()->Close(CloseReason::kDrainDeadline);
}

std::vector<ConnectionRecord> ConnectionTable::List() const {
  std::vector<ConnectionRecord> records;
  records.reserve(connections_.size());
  for (const Connection* connection : connections_) records.push_back(connection->Record());
  return records;
}

void ConnectionTable::WhenEmpty(std::function<void()> callback) {
  if (connections_.empty()) return callback();
  when_empty_ = std::move(callback);
}

}  // namespace lanyard
