#include "proxy/connection/table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/connection/connection.h"

namespace lanyard {

void ConnectionTable::Enter(Connection* connection) {
  connection->place_ = connections_.size();
  connections_.push_back(connection);
}

void ConnectionTable::Leave(Connection* connection) {
  Unmark(connection);
  LeaveGroup(connection);
  unknown_.Leave(connection);
  connections_[connection->place_] = connections_.back();
  connections_[connection->place_]->place_ = connection->place_;
  connections_.pop_back();
  if (connections_.empty() && when_empty_) std::exchange(when_empty_, nullptr)();
}

// Unknown callers.

bool ConnectionTable::EndUnknown() {
  Connection* const oldest = unknown_.OldestOfMost();
  if (oldest == nullptr) return false;
  oldest->Close(CloseReason::kLimitUnauthenticated,
                "others need the room of callers that have not proved who they are, and no address had more of them");
  return true;
}

// Where all have as many, those who came first may finish: a crowd of honest callers is not to end each other's
// handshakes.
bool ConnectionTable::EndUnknownFor(absl::string_view source) {
  const Connection* const oldest = unknown_.OldestOfMost();
  if (oldest == nullptr) return false;
  const bool more = unknown_.most() > unknown_.CountOf(source) + 1;
  return (more || loop_->now() - oldest->opened_ >= kUnknownGrace) && EndUnknown();
}

// Peers.

void ConnectionTable::SetPeer(Connection* connection, const SpiffeId& id, const std::string& serial) {
  LeaveGroup(connection);
  const auto [found, inserted] =
      groups_.try_emplace(absl::StrCat(serial, " ", id.ToString()), PeerGroup{id, serial, {}});
  connection->group_ = &found->second;
  connection->place_in_group_ = found->second.connections.size();
  found->second.connections.push_back(connection);
}

void ConnectionTable::LeaveGroup(Connection* connection) {
  PeerGroup* const group = std::exchange(connection->group_, nullptr);
  if (group == nullptr) return;
  Connection* const last = group->connections.back();
  group->connections[connection->place_in_group_] = last;
  last->place_in_group_ = connection->place_in_group_;
  group->connections.pop_back();
  if (group->connections.empty()) groups_.erase(absl::StrCat(group->serial, " ", group->id.ToString()));
}

// Re-checks.

void ConnectionTable::Recheck(const ViewChange& change, std::function<void()> done) {
  when_rechecked_ = std::move(done);
  for (const auto& [key, group] : groups_) {
    if (!change.TouchesPeer(group.id, group.serial)) continue;
    for (Connection* connection : group.connections) Mark(connection);
  }
  if (change.own_svid) {
    for (size_t i = connections_.size(); i-- > 0;) connections_[i]->OwnSvidChanged();  // one may close
  }
  const bool rules = change.routes || change.inbound || !change.listeners.empty();
  for (Connection* connection : connections_) {
    if (!rules && !change.on_svid_expiry) break;
    const Arrival& arrival = connection->arrival();
    const bool expiry = change.on_svid_expiry && connection->group_ != nullptr;
    if (expiry || change.TouchesRules(arrival.listener, arrival.spec->kind)) Mark(connection);
  }
  // Last, because a chain that must be verified again is dear.
  for (const auto& [key, group] : groups_) {
    if (!change.trust_domains.contains(group.id.trust_domain())) continue;
    for (Connection* connection : group.connections) Mark(connection);
  }
  Slice();
}

void ConnectionTable::Mark(Connection* connection) {
  if (connection->mark_ != 0) return;
  marked_.push_back(connection);
  connection->mark_ = marked_.size();
}

void ConnectionTable::Unmark(Connection* connection) {
  if (connection->mark_ != 0) marked_[std::exchange(connection->mark_, 0) - 1] = nullptr;
}

void ConnectionTable::RecheckNow(Connection* connection) {
  if (connection->mark_ == 0) return;
  Unmark(connection);
  ++rechecked_;
  connection->Recheck();
}

void ConnectionTable::Slice() {
  for (size_t share = kRechecksPerTurn; share > 0 && next_marked_ < marked_.size(); ++next_marked_) {
    if (marked_[next_marked_] == nullptr) continue;
    RecheckNow(marked_[next_marked_]);
    --share;
  }
  if (next_marked_ < marked_.size()) return next_slice_.Start(absl::ZeroDuration());
  marked_ = {};
  next_marked_ = 0;
  if (when_rechecked_) std::exchange(when_rechecked_, nullptr)();
}

// All of them.

void ConnectionTable::AskToMove() {
  for (Connection* connection : connections_) connection->AskToMove(GoAwayReason::kDraining);
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
