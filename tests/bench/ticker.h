// A beat that does not wait for anybody: the clock of a load whose arrivals come whether or not earlier ones
// were served. Linux's timerfd, so that it sits in the same Poller as the connections.
#pragma once

#include <cstdint>

#include "tests/bench/sockets.h"

namespace lanyard::bench {

// Not thread-safe. Begins to tick when made.
class Ticker {
 public:
  // At least one tick a second, at most a million.
  explicit Ticker(uint64_t per_second);

  // Readable while there are ticks that were not taken; for Poller::AddReadable.
  int fd() const { return fd_.get(); }

  // Ticks since the last call. None is lost, however late the call; none comes early.
  uint64_t Take();

 private:
  Fd fd_;
};

}  // namespace lanyard::bench
