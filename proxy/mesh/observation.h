// What a worker tells of itself: counters and its open connections. Plain values that both the
// connection side (which fills them) and the control side (which shows them) know.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace lanyard {

// Powers of four from a quarter of a millisecond to four and a half hours.
inline constexpr std::array<double, 14> kDurationBoundsSeconds = {
    0.00025, 0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096, 16.384, 65.536, 262.144, 1048.576, 4194.304, 16777.216};

// How many were at most each bound and above the one before, and, last, above all.
struct DurationCounts {
  std::array<uint64_t, kDurationBoundsSeconds.size() + 1> counts = {};
  double sum_seconds = 0;
};

// Counts since the start, unless marked as a gauge.
struct WorkerCounters {
  uint64_t accepted_inbound = 0;
  uint64_t accepted_outbound = 0;
  uint64_t open_inbound = 0;              // gauge
  uint64_t open_outbound = 0;             // gauge
  uint64_t handshakes_in_flight = 0;      // gauge
  uint64_t handshakes_full = 0;
  uint64_t handshakes_resumed = 0;
  uint64_t bytes_to_mesh = 0;             // application bytes sent to the peer proxy
  uint64_t bytes_from_mesh = 0;
  uint64_t pool_hits = 0;                 // streams that found an idle link
  uint64_t pool_misses = 0;               // and those that did not, though their destination speaks the mesh protocol
  uint64_t pooled_handshakes = 0;         // links made ahead of need; also in handshakes_full or _resumed
  uint64_t idle_links_opened = 0;         // gauge
  uint64_t idle_links_accepted = 0;       // gauge
  uint64_t links_retired = 0;             // idle ones: aged, or their reasons had changed
  uint64_t links_leaving = 0;             // gauge: opened here, and not closed by their peer yet
  uint64_t links_unanswered = 0;          // given up: no answer to PING within mesh_links.ping_timeout
  uint64_t links_broken = 0;              // by their peer: not the mesh protocol, or more frames than it needs
  uint64_t limit_idle_links = 0;          // links given up, or asked for to be, at max_idle_links
  uint64_t limit_links_leaving = 0;       // of those that leave, closed to make room
  uint64_t limit_link_handshakes = 0;     // put off at max_link_handshakes
  std::vector<std::pair<std::string, uint64_t>> reauthentications;          // by cause
  std::vector<std::pair<std::string, uint64_t>> reauthentication_failures;  // attempts, by cause
  uint64_t carry_overs_put_off = 0;       // authenticated anew, but not carried over: not read at one end, or no answer
  uint64_t svid_expired_kept = 0;         // connections that outlived a peer's SVID under on_svid_expiry: keep
  uint64_t accept_paused = 0;             // times accepting was paused (descriptors exhausted)
  std::vector<std::pair<std::string, uint64_t>> limits_reached;        // by name in proxy.yaml; all of them
  uint64_t view_version = 0;              // gauge: the MeshView in force
  std::vector<std::pair<std::string, uint64_t>> closes_inbound;         // by close reason name
  std::vector<std::pair<std::string, uint64_t>> closes_outbound;
  std::vector<std::pair<std::string, uint64_t>> verification_failures;  // by SvidDefectName
  uint64_t access_log_sampled_out = 0;    // ordinary closes without a line, by access_log.sample
  uint64_t access_log_left_out = 0;       // closes beyond the lines that a second may have
  uint64_t observed_forgotten = 0;        // calls that made room in the table of those observed
  DurationCounts handshake_durations;     // of those that a connection waited for
  DurationCounts connection_durations;    // of those that closed
};

// One open connection, as /connections shows it.
struct ConnectionRecord {
  uint64_t id = 0;                        // unique in this process, never reused
  int worker = 0;
  std::string direction;                  // "inbound" or "outbound"
  std::string listener;
  std::string state;  // "reading_header", "sniffing", "connecting", "handshaking", "relaying", "closing"
  std::string source;                     // address of the side that dialled
  std::string destination;                // original destination, or the listener's
  std::string local_id, local_serial;
  std::string peer_id, peer_serial;       // empty for plaintext and pass-through
  absl::Time peer_not_after = absl::InfiniteFuture();
  std::string tls;                        // "TLSv1.3", "" for none
  std::string protocol;                   // "lanyard/1" for a stream of the mesh protocol
  std::string application_source;         // inbound, of such a stream: what its opener says of the two ends
  std::string application_target;
  std::string rule;                       // the route or policy rule in force
  uint64_t bytes_sent = 0;                // towards the destination
  uint64_t bytes_received = 0;
  absl::Duration age;
  absl::Duration idle;
};

// One kind of call that was decided lately, and how. What /observed shows and `lanyard policy replay` reads.
struct ObservedCall {
  std::string direction;     // "inbound" or "outbound"
  std::string local_id;
  std::string peer_id;       // empty: plaintext, pass-through, or never known
  std::string destination;   // outbound: address and port
  uint16_t port = 0;         // that was dialled
  bool captured = false;     // not by a static listener
  bool allowed = false;
  std::string rule;          // the route or policy rule that decided; empty where none allows
  std::string close_reason;  // of what was refused
  uint64_t count = 0;
  absl::Time last_seen;
  std::string key;           // equal for equal calls, whichever worker tells of them; not shown
};

}  // namespace lanyard
