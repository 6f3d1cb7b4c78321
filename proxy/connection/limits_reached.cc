#include "proxy/connection/limits_reached.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

bool IsTime(Limit limit) {
  switch (limit) {
    case Limit::kHandshakeTimeout:
    case Limit::kFirstByteTimeout:
    case Limit::kHalfClosedTimeout:
    case Limit::kIdleTimeout: return true;
    default: return false;
  }
}

}  // namespace

std::optional<Limit> LimitOf(CloseReason reason) {
  switch (reason) {
    case CloseReason::kLimitUnauthenticated:
    case CloseReason::kLimitConnections: return Limit::kConnections;
    case CloseReason::kLimitHandshakes: return Limit::kHandshakes;
    case CloseReason::kLimitPeerConnections: return Limit::kConnectionsPerPeer;
    case CloseReason::kLimitSourceConnections: return Limit::kConnectionsPerSource;
    case CloseReason::kHandshakeTimeout: return Limit::kHandshakeTimeout;
    case CloseReason::kFirstByteTimeout: return Limit::kFirstByteTimeout;
    case CloseReason::kHalfClosedTimeout: return Limit::kHalfClosedTimeout;
    case CloseReason::kIdle: return Limit::kIdleTimeout;
    default: return std::nullopt;
  }
}

void LimitsReached::Reached(Limit limit, absl::string_view detail) {
  counters_->limits_reached[static_cast<size_t>(limit)].Add();
  if (IsTime(limit)) return;
  Silence& silence = silences_[static_cast<size_t>(limit)];
  ++silence.times;
  if (loop_->now() < silence.until) return;
  silence.until = loop_->now() + kLogInterval;
  ++lines_;
  Log(LogLevel::kWarning, "a limit is reached; the metrics count every time",
      {{"limit", absl::StrCat("limits.", LimitName(limit))},
       {"detail", detail},
       {"times", std::exchange(silence.times, 0)}});
}

}  // namespace lanyard
