#include "proxy/connection/link_dial.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/connection/link_origin.h"

namespace lanyard {

LinkDial::LinkDial(WorkerContext* context, const SocketAddress& destination, std::string session_key, Done done)
    : context_(context),
      destination_(destination),
      session_key_(std::move(session_key)),
      done_(std::move(done)),
      timer_(context->loop, [this] { OnTimer(); }) {
  context_->counters->link_handshakes_in_flight.Add();
  timer_.Start(absl::ZeroDuration());
}

LinkDial::~LinkDial() {
  if (phase_ == Phase::kHandshaking) context_->counters->handshakes_in_flight.Subtract();
  context_->counters->link_handshakes_in_flight.Subtract();
}

void LinkDial::OnTimer() {
  switch (phase_) {
    case Phase::kNew:
      if (!MayShowIdentity()) return;
      phase_ = Phase::kConnecting;
      timer_.Start(context_->limits.connect_timeout);
      tcp_ = context_->dialer->Dial(destination_, 1);
      tcp_->set_observer(this);
      return Step();
    case Phase::kConnecting: return Finish(absl::DeadlineExceededError("not connected within connect_timeout"));
    case Phase::kHandshaking: return Finish(absl::DeadlineExceededError("no handshake within handshake_timeout"));
    case Phase::kDone: return;
  }
}

void LinkDial::Step() {
  if (phase_ == Phase::kConnecting) {
    const IoResult opened = tcp_->Open();
    if (opened.status == IoStatus::kWouldBlock) return;
    if (opened.status != IoStatus::kOk) return Finish(absl::UnavailableError(tcp_->error_text()));
    if (!StartHandshake()) return;
  }
  if (phase_ == Phase::kHandshaking) context_->handshakes->Ask(&handshake_, [this] { StepHandshake(); });
}

void LinkDial::StepHandshake() {
  const IoResult opened = tls_->Open();
  if (opened.status == IoStatus::kWouldBlock) return;
  if (opened.status != IoStatus::kOk) return Finish(absl::UnavailableError(tls_->error_text()));
  Finish(ToLink());
}

bool LinkDial::MayShowIdentity() {
  if (!context_->view->identity_withdrawn) return true;
  Finish(absl::UnavailableError("this proxy's identity was withdrawn"));
  return false;
}

bool LinkDial::StartHandshake() {
  if (!MayShowIdentity()) return false;
  if (context_->counters->handshakes_in_flight.value() >= context_->limits.max_handshakes) {
    context_->limits_reached->Reached(Limit::kHandshakes, "a link to another proxy is not made");
    Finish(absl::ResourceExhaustedError("too many handshakes are in flight; see limits.max_handshakes"));
    return false;
  }
  own_ = context_->view->tls;
  bssl::UniquePtr<SSL> ssl = own_->NewClient();
  if (ssl == nullptr || !SetLinkOrigin(ssl.get(), LinkOrigin{.remote = destination_, .local = destination_})) {
    Finish(absl::ResourceExhaustedError("no memory for a TLS connection"));
    return false;
  }
  context_->sessions->Attach(ssl.get(), session_key_);
  phase_ = Phase::kHandshaking;
  context_->counters->handshakes_in_flight.Add();
  timer_.Start(context_->limits.handshake_timeout);
  tls_ = std::make_unique<TlsStream>(std::move(tcp_), std::move(ssl), context_->pool);
  tls_->set_observer(this);
  return true;
}

absl::StatusOr<std::unique_ptr<Link>> LinkDial::ToLink() {
  const bool resumed = SSL_session_reused(tls_->ssl()) == 1;
  (resumed ? context_->counters->handshakes_resumed : context_->counters->handshakes_full).Add();
  if (SharedPeerOf(tls_->ssl()) == nullptr) return absl::PermissionDeniedError("the peer proved no identity");
  if (!Link::Speaks(tls_->ssl())) {
    return absl::FailedPreconditionError(absl::StrCat("the peer does not speak ", kMeshAlpn));
  }
  auto link = std::make_unique<Link>(context_->loop, std::move(tls_), LinkRole::kOpener, own_);
  if (const absl::Status holds = LinkHolds(*context_, *link); !holds.ok()) return holds;
  return link;
}

void LinkDial::Finish(absl::StatusOr<std::unique_ptr<Link>> link) {
  if (phase_ == Phase::kHandshaking) context_->counters->handshakes_in_flight.Subtract();
  phase_ = Phase::kDone;
  timer_.Stop();
  handshake_.Leave();
  for (Stream* stream : {static_cast<Stream*>(tls_.get()), tcp_.get()}) {
    if (stream != nullptr) stream->set_observer(nullptr);
  }
  const Done done = std::move(done_);
  done(std::move(link));  // `this` may be gone
}

absl::Time LinkExpiry(const VerifiedSvid& peer, const TlsContext& own) {
  return std::min(peer.not_after, own.svid()->not_after());
}

void NoteIfBroken(const WorkerContext& context, const Link& link) {
  if (link.error() != StreamError::kMeshProtocol) return;
  context.counters->links_broken.Add();
  context.close_log->WarnOfBrokenLink(link.peer()->id.ToString(), link.error_text());
}

bool LinkShowsOurs(const WorkerContext& context, const Link& link) {
  if (context.view->identity_withdrawn) return false;
  return link.own() == context.view->tls || link.own()->svid()->chain() == context.view->tls->svid()->chain();
}

absl::Status LinkHolds(const WorkerContext& context, const Link& link) {
  const absl::Time now = context.loop->clock().Now();
  if (now >= LinkExpiry(*link.peer(), *link.own())) {
    return absl::FailedPreconditionError("an SVID of the link has expired");
  }
  // The clock was set back.
  if (now < std::max(link.peer()->not_before, link.own()->svid()->not_before())) {
    return absl::FailedPreconditionError("an SVID of the link is not valid yet");
  }
  return LinkTrusted(context, link);
}

absl::Status LinkTrusted(const WorkerContext& context, const Link& link) {
  const MeshView& view = *context.view;
  const absl::Time now = context.loop->clock().Now();
  const VerifiedSvid& peer = *link.peer();
  if (const Ban* ban = view.bans.Find(peer.id, peer.serial, now)) {
    return absl::PermissionDeniedError(ban->Explanation());
  }
  if (link.own()->bundle_version() == view.tls->bundle_version()) return absl::OkStatus();
  // As of the last moment it was valid: whether it may live on past that is not the bundle's question.
  return view.tls->Reverify(link.ssl(), std::min(now, peer.not_after - absl::Milliseconds(1)));
}

}  // namespace lanyard
