// The open connections of one worker, and which of them a change of the view touches.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/connection/crowd.h"
#include "proxy/io/event_loop.h"
#include "proxy/mesh/observation.h"
#include "proxy/mesh/view_change.h"

namespace lanyard {

class Connection;

// Connections whose peer showed one SVID: what bans and bundles speak of.
struct PeerGroup {
  SpiffeId id;
  std::string serial;
  std::vector<Connection*> connections;  // each knows its place
};

// For the worker's thread. A connection enters before its first check and leaves when it
// closes, so that no change of the view misses one. Does not own: a connection owns itself.
class ConnectionTable {
 public:
  // So many are looked at in a turn of the loop, so that the others are served meanwhile.
  static constexpr size_t kRechecksPerTurn = 64;
  // A caller that has not proved who it is after so long makes room for any other.
  static constexpr absl::Duration kUnknownGrace = absl::Seconds(1);

  explicit ConnectionTable(EventLoop* loop) : loop_(loop), next_slice_(loop, [this] { Slice(); }) {}

  void Enter(Connection* connection);
  void Leave(Connection* connection);
  // A caller that has not proved who it is, by what its address is counted by: the first to go where others need room.
  void EnterUnknown(Connection* connection, absl::string_view source) { unknown_.Enter(connection, source); }
  // It is known, or let in whoever it is.
  void LeaveUnknown(Connection* connection) { unknown_.Leave(connection); }
  // Closes the one that came first of the address that has most (kLimitUnauthenticated). False: there is none.
  bool EndUnknown();
  // For the sake of another unknown caller: if its address has fewer even with that one, or kUnknownGrace is over.
  bool EndUnknownFor(absl::string_view source);
  size_t unknown() const { return unknown_.size(); }

  // Once its peer is known, and again whenever that shows another SVID.
  void SetPeer(Connection* connection, const SpiffeId& id, const std::string& serial);
  size_t size() const { return connections_.size(); }
  // In no order; valid until one enters or leaves.
  const std::vector<Connection*>& connections() const { return connections_; }

  // The view has changed by this: marks the open connections that it touches, at once, and compares each with
  // the view in force, some now and the rest in the next turns, those of banned peers first. One that is marked
  // moves no byte before it was looked at. `done`, which replaces an earlier one not yet called, runs after the last.
  void Recheck(const ViewChange& change, std::function<void()> done);
  // If it is marked: now.
  void RecheckNow(Connection* connection);
  uint64_t rechecked() const { return rechecked_; }  // connections looked at, ever
  size_t marked() const { return marked_.size() - next_marked_; }

  // Asks the peers of streams that they opened to carry them over to another process.
  void AskToMove();
  // Closes all, reason drain_deadline.
  void CloseAll();
  std::vector<ConnectionRecord> List() const;

  // Runs once, when the table is empty: now, or when the last one leaves.
  void WhenEmpty(std::function<void()> callback);

 private:
  void LeaveGroup(Connection* connection);
  void Mark(Connection* connection);
  void Unmark(Connection* connection);
  void Slice();

  EventLoop* loop_;
  std::vector<Connection*> connections_;                       // each knows its place
  absl::node_hash_map<std::string, PeerGroup> groups_;         // by serial and ID
  Crowd<Connection> unknown_;                                  // by address
  std::vector<Connection*> marked_;                            // likewise; null: looked at meanwhile, or closed
  size_t next_marked_ = 0;
  uint64_t rechecked_ = 0;
  Timer next_slice_;
  std::function<void()> when_rechecked_;
  std::function<void()> when_empty_;
};

}  // namespace lanyard
