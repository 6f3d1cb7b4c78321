// What a worker counts. Written by its thread, read by any: relaxed atomics, never a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/spiffe/svid_defect.h"
#include "proxy/connection/close_reason.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// One writer only, so that adding needs no locked instruction.
class Counter {
 public:
  void Add(uint64_t by = 1) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  void Subtract() { value_.store(value_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed); }
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// For one writer, as a Counter.
class DurationHistogram {
 public:
  void Add(absl::Duration duration);
  DurationCounts Snapshot() const;

 private:
  std::array<Counter, kDurationBoundsSeconds.size() + 1> counts_;
  Counter sum_us_;
};

enum class Flow : uint8_t { kInbound, kOutbound };

// Why a stream is authenticated anew.
enum class ReauthenticationCause : uint8_t { kOwnRotation, kPeerAsked, kExpiryNear };
inline constexpr size_t kReauthenticationCauseCount = 3;

// Limits of proxy.yaml that a worker may reach; those of links have counters of their own.
enum class Limit : uint8_t {
  kConnections,
  kHandshakes,
  kConnectionsPerPeer,
  kConnectionsPerSource,
  kBufferedBytes,
  kHandshakeTimeout,
  kFirstByteTimeout,
  kHalfClosedTimeout,
  kIdleTimeout,
};
inline constexpr size_t kLimitCount = static_cast<size_t>(Limit::kIdleTimeout) + 1;
// As in proxy.yaml, without "limits.".
absl::string_view LimitName(Limit limit);

struct ConnectionCounters {
  static constexpr size_t kDefectCount = static_cast<size_t>(SvidDefect::kUntrusted) + 1;

  std::array<Counter, 2> accepted;   // by Flow
  std::array<Counter, 2> open;       // gauge
  Counter handshakes_in_flight;      // gauge
  Counter handshakes_full;
  Counter handshakes_resumed;
  Counter pool_hits;
  Counter pool_misses;
  Counter pooled_handshakes;
  Counter link_handshakes_in_flight;  // gauge: of the pool, and to authenticate anew
  Counter idle_links_opened;          // gauge
  Counter idle_links_accepted;        // gauge
  Counter links_retired;
  Counter links_leaving;              // gauge: opened here
  Counter links_unanswered;
  Counter links_broken;
  Counter limit_idle_links;
  Counter limit_links_leaving;
  Counter limit_link_handshakes;
  std::array<Counter, kReauthenticationCauseCount> reauthentications;
  std::array<Counter, kReauthenticationCauseCount> reauthentication_failures;
  Counter carry_overs_put_off;
  Counter bytes_to_mesh;
  Counter bytes_from_mesh;
  Counter svid_expired_kept;
  Counter accept_paused;
  std::array<Counter, kLimitCount> limits_reached;
  Counter view_version;              // gauge
  std::array<std::array<Counter, kCloseReasonCount>, 2> closes;
  std::array<Counter, kDefectCount> verification_failures;
  DurationHistogram handshake_durations;
  DurationHistogram connection_durations;

  // Reasons and defects that never came are left out.
  WorkerCounters Snapshot() const;
};

}  // namespace lanyard
