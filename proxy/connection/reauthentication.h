// Keeps a stream that this side opened on links whose SVIDs are good: carries it over to a freshly authenticated one in
// time, again and again.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_pool.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {

// For the worker's thread; dies with its stream. Attempts are spread at random: over a quarter of the time left after
// our SVID has changed, at once when the peer asks (it spreads them), and otherwise when about a third of the time is
// left. A failed one is repeated after an eighth of the time left, or 200 ms, whichever is longer. The stream is not
// closed here at its expiry: its connection does that.
class Reauthentication {
 public:
  // `allows`: whether the peer of a new link may still be this stream's, by the rules in force. `carried`: it has
  // moved, and stream->peer() and own() are the new link's.
  struct Events {
    std::function<absl::Status(const VerifiedSvid& peer)> allows;
    std::function<void()> carried;
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
  void OnCarried(const absl::Status& status);
  void Again(const absl::Status& why);
  void Later();

  WorkerContext* context_;
  MeshStream* stream_;
  std::shared_ptr<PeerLinks> links_;
  Events events_;
  ReauthenticationCause cause_ = ReauthenticationCause::kExpiryNear;
  absl::Time due_;
  bool carrying_ = false;
  std::unique_ptr<LinkDial> dial_;
  std::string last_failure_;
  Timer timer_;
};

}  // namespace lanyard
