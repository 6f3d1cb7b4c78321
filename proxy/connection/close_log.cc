#include "proxy/connection/close_log.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

bool MayComeInStorms(CloseReason reason) {
  switch (reason) {
    case CloseReason::kLimitHandshakes:
    case CloseReason::kLimitPeerConnections:
    case CloseReason::kLimitSourceConnections:
    case CloseReason::kLimitUnauthenticated:
    case CloseReason::kLoopDetected:
    case CloseReason::kMisdirected:
    case CloseReason::kBanned:
    case CloseReason::kPolicyChanged:
    case CloseReason::kBundleChanged:
    case CloseReason::kSvidExpiredWhileOpen:
    case CloseReason::kReauthenticationFailed: return true;
    default: return false;
  }
}

bool IsOrdinary(CloseReason reason) {
  return reason == CloseReason::kNormal || reason == CloseReason::kIdle || reason == CloseReason::kMovedToNewProcess;
}

}  // namespace

bool CloseLog::Take(Rate& rate, CloseReason reason) {
  if (rate.lines == 0 || loop_->now() - rate.second >= absl::Seconds(1)) {
    rate.second = loop_->now();
    rate.lines = 0;
  }
  if (rate.lines < rate.per_second) {
    ++rate.lines;
    return true;
  }
  ++left_out_[static_cast<size_t>(reason)];
  left_out_ever_.Add();
  if (!summary_.running()) summary_.Start(absl::Seconds(1));
  return false;
}

void CloseLog::Sample(double share, uint32_t per_second, Random* random) {
  share_ = share;
  ordinary_.per_second = per_second;
  random_ = random;
}

bool CloseLog::Admit(CloseReason reason, Party party) {
  if (MayComeInStorms(reason)) return Take(storm_, reason);
  if (!IsOrdinary(reason)) {
    switch (party) {
      case Party::kLetIn: return true;
      case Party::kStranger: return Take(strangers_, reason);
      case Party::kPeer: return Take(peers_, reason);
      case Party::kApplication: return Take(applications_, reason);
    }
  }
  if (share_ < 1 && random_->Uniform() >= share_) {
    sampled_out_.Add();
    return false;
  }
  return Take(ordinary_, reason);
}

void CloseLog::WarnOfLoop(absl::string_view listener, absl::string_view destination, absl::string_view remedy) {
  if (loop_->now() < next_warning_) return;
  next_warning_ = loop_->now() + kWarningInterval;
  Log(LogLevel::kWarning, "connections of this proxy with itself are refused",
      {{"listener", listener}, {"destination", destination}, {"detail", remedy}});
}

void CloseLog::WarnOfBrokenLink(absl::string_view peer_id, absl::string_view detail) {
  if (loop_->now() < next_link_warning_) return;
  next_link_warning_ = loop_->now() + kWarningInterval;
  Log(LogLevel::kWarning, "a link to another proxy is closed; lanyard_proxy_links_broken_total has every one",
      {{"peer_id", peer_id}, {"detail", detail}});
}

void CloseLog::Summarise() {
  uint64_t connections = 0;
  std::string reasons;
  for (size_t i = 0; i < left_out_.size(); ++i) {
    const uint64_t count = std::exchange(left_out_[i], 0);
    if (count == 0) continue;
    connections += count;
    absl::StrAppend(&reasons, reasons.empty() ? "" : " ", CloseReasonName(static_cast<CloseReason>(i)), "=", count);
  }
  Log(LogLevel::kInfo, "more connections closed than have a line each; the metrics have every one",
      {{"connections", connections}, {"reasons", reasons}});
}

}  // namespace lanyard
