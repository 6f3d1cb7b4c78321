// How much of an event loop's time TLS handshakes may have. Private to identity/channel.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/time/time.h"
#include "identity/channel/event_loop.h"

namespace lanyard {

// A step of a handshake agrees on a key, signs or verifies, and anybody may ask for one: done as they come, many
// callers at once would hold up all open connections. So a turn of the loop takes them for so long, and the rest waits
// for the next turns, first come first served. As many wait as there are handshakes at most. For the loop's thread;
// dies there, or once the loop has stopped.
class HandshakeShare {
 public:
  // A turn begins no further step after this; one it takes in any case.
  static constexpr absl::Duration kMostOfATurn = absl::Milliseconds(1);

  explicit HandshakeShare(EventLoop& loop, absl::Duration most_of_a_turn = kMostOfATurn)
      : loop_(loop), most_of_a_turn_(most_of_a_turn) {}
  ~HandshakeShare() { loop_.Cancel(next_turn_); }
  HandshakeShare(const HandshakeShare&) = delete;

  // True: `step` has run, and may have destroyed its owner. False: it waits, and runs once in a later turn unless the
  // owner is forgotten before; the owner does not ask again meanwhile.
  bool Ask(const void* owner, std::function<void()> step);
  // Before the owner of a step that may be waiting is destroyed.
  void Forget(const void* owner);
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    const void* owner;
    std::function<void()> step;
  };

  bool Used() const { return begun_ && spent_ >= most_of_a_turn_; }
  void Take(const std::function<void()>& step);
  void BeginTurn();
  void AwaitTurn();

  EventLoop& loop_;
  const absl::Duration most_of_a_turn_;
  std::deque<Waiting> waiting_;
  bool begun_ = false;   // this turn has taken a step; then the next turn is awaited
  absl::Duration spent_ = absl::ZeroDuration();   // by this turn's
  EventLoop::TimerId next_turn_ = {};
};

}  // namespace lanyard
