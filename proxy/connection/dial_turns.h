// How many calls are on their way to one destination at once; the others wait for their turn.
#pragma once

#include <cstddef>
#include <functional>
#include <list>

#include "proxy/io/event_loop.h"

namespace lanyard {

class DialTurns;

// The place of one call: waiting, and then in its turn until it leaves or is destroyed. Dies before the turns.
class DialPlace {
 public:
  DialPlace() = default;
  DialPlace(const DialPlace&) = delete;
  DialPlace& operator=(const DialPlace&) = delete;
  ~DialPlace() { Leave(); }

  void Leave();

 private:
  friend class DialTurns;
  struct Entry {
    DialPlace* place;
    std::function<void()> turn;
  };
  DialTurns* turns_ = nullptr;
  bool waiting_ = false;
  std::list<Entry>::iterator at_;  // while it waits
};

// Applications open thousands of connections within a moment, whose TLS handshakes take seconds of a processor. All at
// once they would exceed what the far proxy grants callers who have not yet proved who they are, and be reset; and a
// link would be made for each, where those of the first ones might serve the others. Each destination has its own
// turns, so that one that is not there holds up nobody else's calls. First come, first served. For the worker's thread.
class DialTurns {
 public:
  DialTurns(EventLoop* loop, size_t most) : most_(most), run_(loop, [this] { Run(); }) {}

  // True: it is its turn. False: `turn` is called once, later, unless the place is left before. The place, which has
  // none yet, may be destroyed from within.
  bool Ask(DialPlace* place, std::function<void()> turn);
  size_t waiting() const { return queue_.size(); }

 private:
  friend class DialPlace;
  void Run();

  const size_t most_;
  size_t dialling_ = 0;
  std::list<DialPlace::Entry> queue_;
  Timer run_;
};

}  // namespace lanyard
