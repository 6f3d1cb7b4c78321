#include "proxy/connection/counters.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace lanyard {
namespace {

std::vector<std::pair<std::string, uint64_t>> NamedCloses(const std::array<Counter, kCloseReasonCount>& closes) {
  std::vector<std::pair<std::string, uint64_t>> named;
  for (size_t i = 0; i < closes.size(); ++i) {
    if (closes[i].value() > 0) named.emplace_back(CloseReasonName(static_cast<CloseReason>(i)), closes[i].value());
  }
  return named;
}

std::vector<std::pair<std::string, uint64_t>> NamedCauses(
    const std::array<Counter, kReauthenticationCauseCount>& counters) {
  static constexpr const char* kNames[] = {"own_rotation", "peer_asked", "expiry_near"};
  std::vector<std::pair<std::string, uint64_t>> named;
  for (size_t i = 0; i < counters.size(); ++i) named.emplace_back(kNames[i], counters[i].value());
  return named;
}

// Of kDurationBoundsSeconds.
constexpr int64_t kFirstBoundUs = 250;

}  // namespace

void DurationHistogram::Add(absl::Duration duration) {
  const int64_t us = std::max<int64_t>(absl::ToInt64Microseconds(duration), 0);
  size_t bucket = 0;
  for (int64_t bound_us = kFirstBoundUs; us > bound_us && bucket < kDurationBoundsSeconds.size(); bound_us *= 4) {
    ++bucket;
  }
  counts_[bucket].Add();
  sum_us_.Add(static_cast<uint64_t>(us));
}

DurationCounts DurationHistogram::Snapshot() const {
  DurationCounts shot;
  for (size_t i = 0; i < counts_.size(); ++i) shot.counts[i] = counts_[i].value();
  shot.sum_seconds = 1e-6 * static_cast<double>(sum_us_.value());
  return shot;
}

absl::string_view LimitName(Limit limit) {
  switch (limit) {
    case Limit::kConnections: return "max_connections";
    case Limit::kHandshakes: return "max_handshakes";
    case Limit::kConnectionsPerPeer: return "max_connections_per_peer";
    case Limit::kConnectionsPerSource: return "max_connections_per_source";
    case Limit::kBufferedBytes: return "max_buffered_bytes";
    case Limit::kHandshakeTimeout: return "handshake_timeout";
    case Limit::kFirstByteTimeout: return "first_byte_timeout";
    case Limit::kHalfClosedTimeout: return "half_closed_timeout";
    case Limit::kIdleTimeout: return "idle_timeout";
  }
  return "unknown";
}

WorkerCounters ConnectionCounters::Snapshot() const {
  const auto inbound = static_cast<size_t>(Flow::kInbound), outbound = static_cast<size_t>(Flow::kOutbound);
  WorkerCounters shot;
  shot.accepted_inbound = accepted[inbound].value();
  shot.accepted_outbound = accepted[outbound].value();
  shot.open_inbound = open[inbound].value();
  shot.open_outbound = open[outbound].value();
  shot.handshakes_in_flight = handshakes_in_flight.value();
  shot.handshakes_full = handshakes_full.value();
  shot.handshakes_resumed = handshakes_resumed.value();
  shot.pool_hits = pool_hits.value();
  shot.pool_misses = pool_misses.value();
  shot.pooled_handshakes = pooled_handshakes.value();
  shot.idle_links_opened = idle_links_opened.value();
  shot.idle_links_accepted = idle_links_accepted.value();
  shot.links_retired = links_retired.value();
  shot.links_leaving = links_leaving.value();
  shot.links_unanswered = links_unanswered.value();
  shot.links_broken = links_broken.value();
  shot.limit_idle_links = limit_idle_links.value();
  shot.limit_links_leaving = limit_links_leaving.value();
  shot.limit_link_handshakes = limit_link_handshakes.value();
  shot.reauthentications = NamedCauses(reauthentications);
  shot.reauthentication_failures = NamedCauses(reauthentication_failures);
  shot.carry_overs_put_off = carry_overs_put_off.value();
  shot.bytes_to_mesh = bytes_to_mesh.value();
  shot.bytes_from_mesh = bytes_from_mesh.value();
  shot.svid_expired_kept = svid_expired_kept.value();
  shot.accept_paused = accept_paused.value();
  for (size_t i = 0; i < limits_reached.size(); ++i) {
    shot.limits_reached.emplace_back(LimitName(static_cast<Limit>(i)), limits_reached[i].value());
  }
  shot.view_version = view_version.value();
  shot.closes_inbound = NamedCloses(closes[inbound]);
  shot.closes_outbound = NamedCloses(closes[outbound]);
  for (size_t i = 0; i < verification_failures.size(); ++i) {
    if (verification_failures[i].value() == 0) continue;
    shot.verification_failures.emplace_back(SvidDefectName(static_cast<SvidDefect>(i)),
                                            verification_failures[i].value());
  }
  shot.handshake_durations = handshake_durations.Snapshot();
  shot.connection_durations = connection_durations.Snapshot();
  return shot;
}

}  // namespace lanyard
