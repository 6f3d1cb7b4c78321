// One link, dialled without an application that waits for it: ahead of need, or to authenticate a stream anew.
#pragma once

#include <openssl/base.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/connection/handshake_turns.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/link.h"
#include "proxy/tls/tls_stream.h"

namespace lanyard {

// For the worker's thread. Destroying it gives the attempt up.
class LinkDial : private StreamObserver {
 public:
  // Once, in a later turn; the dial may be destroyed from within. The link's peer is verified and not banned by the
  // view in force, and nothing more is known of it: whether it is the right one is the caller's to decide.
  // FailedPrecondition: the peer does not speak the mesh protocol. ResourceExhausted: too many handshakes. Unavailable:
  // not connected, or our identity was withdrawn.
  using Done = std::function<void(absl::StatusOr<std::unique_ptr<Link>>)>;

  // `session_key` as ClientSessionCache has it.
  LinkDial(WorkerContext* context, const SocketAddress& destination, std::string session_key, Done done);
  ~LinkDial();

  // Somebody else waits for the link from now on.
  void Redirect(Done done) { done_ = std::move(done); }

 private:
  enum class Phase : uint8_t { kNew, kConnecting, kHandshaking, kDone };

  void OnReady() override { Step(); }
  void OnTimer();
  void Step();
  void StepHandshake();
  // False: finished, and `this` may be gone.
  bool MayShowIdentity();
  bool StartHandshake();
  void Finish(absl::StatusOr<std::unique_ptr<Link>> link);
  absl::StatusOr<std::unique_ptr<Link>> ToLink();

  WorkerContext* context_;
  const SocketAddress destination_;
  const std::string session_key_;
  Done done_;
  Phase phase_ = Phase::kNew;
  std::unique_ptr<Stream> tcp_;
  std::unique_ptr<TlsStream> tls_;
  std::shared_ptr<const TlsContext> own_;
  Timer timer_;
  HandshakePlace handshake_;
};

// OK if the peer of a link is not banned by the view in force, and vouched for by its bundles.
absl::Status LinkTrusted(const WorkerContext& context, const Link& link);
// OK if moreover both SVIDs of the link are valid now: it may carry a stream, as far as the rules allow.
absl::Status LinkHolds(const WorkerContext& context, const Link& link);
// Whether it shows the identity that we have now.
bool LinkShowsOurs(const WorkerContext& context, const Link& link);
// Of a link that no stream has and that is closed: counts and tells of it if its peer broke the mesh protocol.
void NoteIfBroken(const WorkerContext& context, const Link& link);
// When the first of its two SVIDs expires.
absl::Time LinkExpiry(const VerifiedSvid& peer, const TlsContext& own);

}  // namespace lanyard
