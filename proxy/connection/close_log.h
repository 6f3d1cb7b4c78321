// How many lines a storm of closes may write.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "absl/strings/string_view.h"
#include "identity/base/random.h"
#include "proxy/connection/close_reason.h"
#include "proxy/connection/counters.h"
#include "proxy/io/event_loop.h"

namespace lanyard {

// One connection, one line: but one change of the view may close thousands at once, and the lines would take longer
// than the closing; and of ordinary closes a sample may do. For the worker's thread, but for the counters.
class CloseLog {
 public:
  // Whose connection it was. Each has lines of its own, so that a flood of the ones does not hide the others.
  enum class Party : uint8_t {
    kLetIn,        // a peer, or an application here that reached somebody: its bytes could flow
    kStranger,     // inbound, and the caller proved no identity
    kPeer,         // inbound, and the peer was turned away, or its server was not reached
    kApplication,  // outbound, and nobody was reached
  };
  static constexpr uint32_t kStormLinesPerSecond = 100;
  static constexpr absl::Duration kWarningInterval = absl::Seconds(10);

  // How many ordinary closes (normal, idle) have a line: this share of them, and so many a second. Until it is called,
  // all of them.
  void Sample(double share, uint32_t per_second, Random* random);
  const Counter& sampled_out() const { return sampled_out_; }
  const Counter& left_out() const { return left_out_ever_; }

  explicit CloseLog(EventLoop* loop) : loop_(loop), summary_(loop, [this] { Summarise(); }) {}

  // Whether this close has a line of its own. Those that a change of the view causes, an expiry, a loop, or a limit of
  // handshakes, peers, sources or unknown callers have up to kStormLinesPerSecond; ordinary ones as Sample says; the
  // others always where somebody was let in, else, for each party by itself, up to kStormLinesPerSecond. What is beyond
  // a rate is counted, and one line a second says how many there were, and for which reasons.
  bool Admit(CloseReason reason, Party party);
  // What whoever runs the proxy must change; the first of each kWarningInterval is written.
  void WarnOfLoop(absl::string_view listener, absl::string_view destination, absl::string_view remedy);
  // Of a link without a stream; likewise.
  void WarnOfBrokenLink(absl::string_view peer_id, absl::string_view detail);

 private:
  // So many lines a second.
  struct Rate {
    uint32_t per_second;
    absl::Duration second = absl::ZeroDuration();  // when the present one began
    uint32_t lines = 0;
  };

  bool Take(Rate& rate, CloseReason reason);
  void Summarise();

  EventLoop* loop_;
  Timer summary_;
  Rate storm_{kStormLinesPerSecond};
  Rate strangers_{kStormLinesPerSecond};
  Rate peers_{kStormLinesPerSecond};
  Rate applications_{kStormLinesPerSecond};
  Rate ordinary_{std::numeric_limits<uint32_t>::max()};
  double share_ = 1;
  Random* random_ = nullptr;
  std::array<uint64_t, kCloseReasonCount> left_out_{};  // since the last summary, by reason
  Counter left_out_ever_;
  Counter sampled_out_;
  absl::Duration next_warning_ = -absl::InfiniteDuration();
  absl::Duration next_link_warning_ = -absl::InfiniteDuration();
};

}  // namespace lanyard
