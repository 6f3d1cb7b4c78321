// When the TLS handshakes of a worker take their steps: behind the open streams, one or a few in a turn of the loop.
#pragma once

#include <functional>
#include <list>

#include "absl/time/time.h"
#include "proxy/io/event_loop.h"

namespace lanyard {

class HandshakeTurns;

// The place of one handshake in the queue; it leaves when destroyed. Dies before the queue.
class HandshakePlace {
 public:
  HandshakePlace() = default;
  HandshakePlace(const HandshakePlace&) = delete;
  HandshakePlace& operator=(const HandshakePlace&) = delete;
  ~HandshakePlace() { Leave(); }

  void Leave();
  bool waiting() const { return turns_ != nullptr; }

 private:
  friend class HandshakeTurns;
  struct Entry {
    HandshakePlace* place;
    std::function<void()> step;
  };
  HandshakeTurns* turns_ = nullptr;
  std::list<Entry>::iterator at_;
};

// A step of a handshake agrees on a key, signs or verifies: it takes as long as hundreds of small requests, and
// when many callers arrive many steps are ready at once. Done as they come they would hold up every stream of the
// worker. So they wait here, first come first served, and a turn that had its streams takes one, and more for as long
// as its streams took: neither side gets less than half of the worker. The queue is as long as max_handshakes at most.
// For the worker's thread.
class HandshakeTurns {
 public:
  // However long the streams of a turn took, its handshakes begin no further step after this.
  static constexpr absl::Duration kMostOfATurn = absl::Milliseconds(1);

  explicit HandshakeTurns(EventLoop* loop) : loop_(loop), run_(loop, [this] { Run(); }) {}

  // `step` is called once, from the loop, unless the place was left before; whoever asks again while waiting has one
  // call. The place may be destroyed from within.
  void Ask(HandshakePlace* place, std::function<void()> step);
  size_t waiting() const { return queue_.size(); }

 private:
  friend class HandshakePlace;
  void Run();
  void TakeFirst();

  EventLoop* loop_;
  std::list<HandshakePlace::Entry> queue_;
  Timer run_;
};

}  // namespace lanyard
