// Streams of one worker that are to go on in the process which takes over from this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "proxy/connection/move_line.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {

class Connection;

// While this process drains, offers every stream over a link to the next one, and again and again those that could not
// go: they wait for an answer to OPEN, are being carried over, are not read by their application, or the next process
// did not want them. What never goes ends with the drain. Peers are asked to carry over what they opened once it is
// offered, or when there is no next process (any more). The conversation is in move_message.h. For the worker's thread.
class Departures {
 public:
  // Of the streams that this side opened, so many are offered at first, and of those over links to one address: the
  // next process dials for each, and an address that does not answer is not to hold up the others. At most half of
  // mesh_links.max_handshakes, which is the next process's too. Each that is READY makes room for one more, up to all
  // of these (should an address stop answering then, the others wait for one connect_timeout); after a NO it is as at
  // first.
  static constexpr size_t kDialledAtFirst = 16;
  static constexpr size_t kDialledEachAtFirst = 8;
  // In one turn.
  static constexpr size_t kMaxOffersPerTurn = 1024;
  static constexpr absl::Duration kTick = absl::Milliseconds(20);

  explicit Departures(WorkerContext* context);

  MoveLine& line() { return line_; }
  // Begins, once there is a next process.
  void Drain();
  // Whether the peer of a stream has been asked to carry it over, if it was opened there.
  bool Asked(bool offered) const { return draining_ && (offered || !line_.open()); }
  // The connection's offer is void: it ends, or stays for now.
  void Withdraw(uint64_t id);
  // Its stream has moved: the next process goes on, with the application's socket.
  void Yours(uint64_t id, const StreamState& state, UniqueFd application);
  size_t offered() const { return offered_.size(); }

 private:
  struct Offered {
    Connection* connection;
    std::string dialled;  // where the next process dials; empty: nowhere, or it has answered
  };
  // Those that the next process dials for: of all, or of one address.
  struct Dials {
    size_t now = 0;
    size_t earned = 0;  // beyond those at first
  };
  void OnMessage(const MoveMessage& message);
  // False: not now, because too many are dialled.
  bool Offer(Connection* connection);
  bool MayDial(const std::string& address) const;
  size_t MostHandshakes() const;
  bool HasRoom(const Dials& dials, size_t at_first) const;
  void Learn(const std::string& address, bool ready);
  void Answered(Offered& offered);
  bool Forget(uint64_t id);  // false: it was no offer (any more)
  void Closed();
  void Tick();
  // Offers of this turn: all workers' together never fill the line.
  size_t Share() const;

  WorkerContext* context_;
  bool draining_ = false;
  uint64_t last_number_ = 0;
  size_t next_ = 0;  // place in the table where the next turn begins
  Dials dialled_;
  absl::flat_hash_map<std::string, Dials> dialled_each_;  // by address, of this conversation
  absl::flat_hash_map<uint64_t, Offered> offered_;
  MoveLine line_;
  Timer tick_;
};

}  // namespace lanyard
