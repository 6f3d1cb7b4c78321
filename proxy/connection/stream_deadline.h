// How long an open stream may wait, and for what.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/connection/close_reason.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// What has happened on a stream, by the monotonic clock.
struct StreamTimes {
  absl::Duration begun;
  absl::Duration last_activity;  // in either direction
  bool carried_bytes = false;    // in either direction
  bool half_closed = false;      // one direction has ended, the other has not
};

struct StreamDeadline {
  absl::Duration left = absl::InfiniteDuration();  // zero or less: it is over
  CloseReason reason = CloseReason::kIdle;
  absl::string_view detail;
};

// The first of these that is set (a limit of zero is none):
// - first_byte_timeout, while neither side has said a word. Whoever speaks first may be the server: what is ended is a
//   connection that nobody uses, whatever its protocol.
// - half_closed_timeout, after the last byte (or the end) when only one direction is still open.
// - idle_timeout, after the last byte.
StreamDeadline NextDeadline(const ConnectionLimits& limits, const StreamTimes& times, absl::Duration now);

}  // namespace lanyard
