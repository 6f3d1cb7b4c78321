#include "proxy/connection/stream_deadline.h"

namespace lanyard {
namespace {

void Consider(StreamDeadline& first, absl::Duration left, CloseReason reason, absl::string_view detail) {
  if (left < first.left) first = {left, reason, detail};
}

}  // namespace

StreamDeadline NextDeadline(const ConnectionLimits& limits, const StreamTimes& times, absl::Duration now) {
  StreamDeadline first;
  if (limits.first_byte_timeout > absl::ZeroDuration() && !times.carried_bytes) {
    Consider(first, times.begun + limits.first_byte_timeout - now, CloseReason::kFirstByteTimeout,
             "neither side said a word within first_byte_timeout");
  }
  if (limits.half_closed_timeout > absl::ZeroDuration() && times.half_closed) {
    Consider(first, times.last_activity + limits.half_closed_timeout - now, CloseReason::kHalfClosedTimeout,
             "one side has ended, and the other was silent for half_closed_timeout");
  }
  if (limits.idle_timeout > absl::ZeroDuration()) {
    Consider(first, times.last_activity + limits.idle_timeout - now, CloseReason::kIdle,
             "nothing moved for idle_timeout");
  }
  return first;
}

}  // namespace lanyard
