// How many lines a storm of closes may write.
#pragma once

#include <cstdint>

#include "proxy/connection/close_reason.h"
#include "proxy/io/event_loop.h"

namespace lanyard {

// One connection, one line: but one change of the view may close thousands at once, and the lines would take longer
// than the closing. For the worker's thread.
class CloseLog {
 public:
  static constexpr uint32_t kStormLinesPerSecond = 100;

  explicit CloseLog(EventLoop* loop) : loop_(loop), summary_(loop, [this] { Summarise(); }) {}

  // Whether this close has a line of its own. Those that a change of the view causes, an expiry, or a limit of
  // handshakes, peers or sources have up to kStormLinesPerSecond; the others are counted, and one line a second says
  // how many there were.
  bool Admit(CloseReason reason);

 private:
  void Summarise();

  EventLoop* loop_;
  Timer summary_;
  absl::Duration second_ = absl::ZeroDuration();  // when the present one began
  uint32_t lines_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace lanyard
