#include "proxy/connection/close_log.h"

#include <utility>

#include "identity/base/logging.h"

namespace lanyard {
namespace {

bool MayComeInStorms(CloseReason reason) {
  switch (reason) {
    case CloseReason::kLimitHandshakes:
    case CloseReason::kLimitPeerConnections:
    case CloseReason::kLimitSourceConnections:
    case CloseReason::kBanned:
    case CloseReason::kPolicyChanged:
    case CloseReason::kBundleChanged:
    case CloseReason::kSvidExpiredWhileOpen:
    case CloseReason::kReauthenticationFailed: return true;
    default: return false;
  }
}

}  // namespace

bool CloseLog::Admit(CloseReason reason) {
  if (!MayComeInStorms(reason)) return true;
  if (lines_ == 0 || loop_->now() - second_ >= absl::Seconds(1)) {
    second_ = loop_->now();
    lines_ = 0;
  }
  if (lines_ < kStormLinesPerSecond) {
    ++lines_;
    return true;
  }
  ++left_out_;
  if (!summary_.running()) summary_.Start(absl::Seconds(1));
  return false;
}

void CloseLog::Summarise() {
  Log(LogLevel::kInfo, "more connections closed for such reasons; the metrics have every one",
      {{"connections", std::exchange(left_out_, 0)}});
}

}  // namespace lanyard
