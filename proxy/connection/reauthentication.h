// Keeps a stream that this side opened authenticated by SVIDs that are good, again and again: a freshly authenticated
// link vouches for it, and then it is carried over to that link.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_inquiry.h"
#include "proxy/connection/link_pool.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {

// For the worker's thread; dies with its stream. Attempts are spread at random: over a quarter of the time left after
// our SVID has changed, at once when the peer asks (it spreads them), and otherwise when about a third of the time is
// left. A failed one is repeated after an eighth of the time left, or 200 ms, whichever is longer. A stream that was
// vouched for but cannot be carried over, because it is not read at one end, stays where it is until the next time.
// While the peer drains that is after 1 s, 2 s, 4 s and so on, as the process that takes over there may just begin; and
// once a second where it drains at the new link as well, as that led to the same process. The stream is not closed here
// at its expiry: its connection does that.
class Reauthentication {
 public:
  static constexpr absl::Duration kFirstDrainPause = absl::Seconds(1);

  // `allows`: whether the peer of a new link may still be this stream's, by the rules in force. `renewed`: the stream
  // was vouched for, or has moved; stream->peer() and own() are the new link's.
  struct Events {
    std::function<absl::Status(const VerifiedSvid& peer)> allows;
    std::function<void()> renewed;
  };
  Reauthentication(WorkerContext* context, MeshStream* stream, std::shared_ptr<PeerLinks> links, Events events);

  void OwnSvidChanged();
  // The peer said GOAWAY on the link in use.
  void PeerAsks(GoAwayReason reason);
  // No more of it: the stream is at its end.
  void Stop();
  // Why the last attempt failed; empty if none did since the last success.
  const std::string& last_failure() const { return last_failure_; }

 private:
  absl::Duration Left() const;
  double Random() const { return context_->random->Uniform(); }
  // When the present SVIDs want it.
  void Schedule();
  void At(absl::Duration after, ReauthenticationCause cause);
  void Arm();
  void Begin();
  void OnDialled(absl::StatusOr<std::unique_ptr<Link>> link);
  void OnAnswered(LinkInquiry::Answer answer);
  void CarryOver(std::unique_ptr<Link> link, bool vouched);
  void OnCarried(const absl::Status& status, bool vouched);
  void Count();
  void Again(const absl::Status& why);
  void Later();

  WorkerContext* context_;
  MeshStream* stream_;
  std::shared_ptr<PeerLinks> links_;
  Events events_;
  ReauthenticationCause cause_ = ReauthenticationCause::kExpiryNear;
  absl::Time due_;
  bool draining_ = false;     // the peer wants the stream elsewhere, whatever its SVIDs
  absl::Duration drain_pause_ = kFirstDrainPause;
  absl::Duration left_at_ = -absl::InfiniteDuration();  // when it was last begun for that; monotonic
  // When the link in use was opened, if another has vouched for its stream: then the peer's rotation is dealt with.
  absl::Duration vouched_for_ = -absl::InfiniteDuration();
  std::unique_ptr<LinkDial> dial_;
  std::unique_ptr<LinkInquiry> inquiry_;
  std::string last_failure_;
  Timer timer_;
};

}  // namespace lanyard
