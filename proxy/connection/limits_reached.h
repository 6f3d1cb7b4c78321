// Limits that were reached: each is counted, and logged at a bounded rate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/connection/close_reason.h"
#include "proxy/connection/counters.h"
#include "proxy/io/event_loop.h"

namespace lanyard {

// The limit whose being reached closes connections for this reason.
std::optional<Limit> LimitOf(CloseReason reason);

// For the worker's thread.
class LimitsReached {
 public:
  // Each limit of an amount has a line of its own at most this often; a limit of time has only the connections' lines.
  static constexpr absl::Duration kLogInterval = absl::Seconds(10);

  LimitsReached(EventLoop* loop, ConnectionCounters* counters) : loop_(loop), counters_(counters) {}

  // `detail` is one phrase: what became of whom.
  void Reached(Limit limit, absl::string_view detail);
  uint64_t lines() const { return lines_; }  // logged, ever

 private:
  struct Silence {
    absl::Duration until = -absl::InfiniteDuration();
    uint64_t times = 0;  // reached since the last line
  };

  EventLoop* loop_;
  ConnectionCounters* counters_;
  uint64_t lines_ = 0;
  std::array<Silence, kLimitCount> silences_;
};

}  // namespace lanyard
