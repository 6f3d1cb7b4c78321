// accept -> table -> PROXY protocol header -> route -> its turn to dial -> handshake, verify the SVID, an ID that was
// expected -> relay -> log
// With a peer that speaks the mesh protocol it is a stream over a link, and where one is idle (link_pool.h) nothing is
// dialled.
#include "proxy/connection/outbound.h"

#include <openssl/ssl.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {

void OutboundConnection::Start(WorkerContext* context, Arrival arrival) {
  (new OutboundConnection(context, std::move(arrival)))->Begin();  // it entered the table, before any check
}

const Route& OutboundConnection::RouteNow() const {
  return view().RouteFor(arrival().listener, arrival().spec->kind, arrival().dialled);
}

void OutboundConnection::OnArrived() {
  const Route& route = RouteNow();
  action_ = route.action;
  rule_ = route.name;
  if (action_ == RouteAction::kRefuse) {
    return Close(CloseReason::kRouteRefused, absl::StrCat("route \"", rule_, "\" refuses this destination"));
  }
  if (action_ == RouteAction::kPassThrough) return Dial();
  if (!MayShowIdentity()) return;
  links_ = context_->links->To(DestinationText());
  if (!TookLink(false)) DialInTurn();
}

bool OutboundConnection::TookLink(bool again) {
  // A link does not know how often its stream has passed here: what has is dialled, to be found if it is a loop.
  if (arrival().hops != 0) return false;
  std::unique_ptr<Link> link = links_->Take(RouteNow().peers, again);
  if (link == nullptr) return false;
  place_.Leave();  // if it had one
  if (links_->IsQuiet(*link)) {
    Ask(std::move(link));
  } else {
    StartStream(std::move(link));
  }
  return true;
}

void OutboundConnection::DialInTurn() {
  if (links_->turns().Ask(&place_, [this] { OnTurn(); })) return Dial();
  // Those before it are given that long, too.
  EnterState(State::kConnecting, context_->limits.connect_timeout + context_->limits.handshake_timeout);
}

void OutboundConnection::OnTurn() {
  if (!StillAllowed() || !MayShowIdentity()) return;
  if (!TookLink(true)) Dial();
}

void OutboundConnection::OnClose() {
  place_.Leave();
  inquiry_.reset();
}

void OutboundConnection::Ask(std::unique_ptr<Link> link) {
  const absl::Duration timeout = context_->limits.link_ping_timeout;
  EnterState(State::kConnecting, timeout + context_->limits.connect_timeout);
  inquiry_ = LinkInquiry::Ping(context_->loop, std::move(link), timeout,
                               [this](LinkInquiry::Answer answer) { OnAsked(std::move(answer)); });
}

// Nothing of the stream was sent, so that it may well go another way.
void OutboundConnection::OnAsked(LinkInquiry::Answer answer) {
  inquiry_.reset();
  if (!StillAllowed() || !MayShowIdentity()) return;
  if (answer.link == nullptr) {
    links_->Unanswered();
  } else if (answer.status.ok() && Expects(*answer.link->peer()).ok()) {
    return StartStream(std::move(answer.link));
  } else {
    links_->Spare(std::move(answer.link));  // the peer goes away, or the route has changed meanwhile
  }
  DialInTurn();
}

void OutboundConnection::OnConnected() {
  if (action_ == RouteAction::kPassThrough) return StartRelay(nullptr);
  bssl::UniquePtr<SSL> ssl = view().tls->NewClient();
  if (ssl != nullptr) {
    context_->sessions->Attach(ssl.get(), DestinationText());
    if (links_->is_plain()) SSL_set_alpn_protos(ssl.get(), nullptr, 0);
  }
  EnterState(State::kHandshaking, context_->limits.handshake_timeout);
  Handshake(&far_, std::move(ssl), nullptr);
}

absl::Status OutboundConnection::Expects(const VerifiedSvid& peer) {
  const Route& route = RouteNow();  // as of now: it may have changed meanwhile
  rule_ = route.name;
  if (MatchesAny(route.peers, peer.id)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(peer.id.ToString(), " answered, which route \"", rule_, "\" does not expect"));
}

// A server must refuse a client that offers only names it does not know (RFC 7301 section 3.2), and many do. Whoever
// forges that alert gains a connection without the mesh protocol, between peers that prove who they are all the same.
bool OutboundConnection::OnNoSharedProtocol() {
  if (links_->is_plain()) return false;  // it was offered nothing
  links_->IsPlain();
  DialAgain();
  return true;
}

void OutboundConnection::OnHandshake() {
  place_.Leave();
  if (!MayShowIdentity()) return;
  if (const absl::Status expected = Expects(*peer()); !expected.ok()) {
    return Close(CloseReason::kPeerNotExpected, expected.message());
  }
  if (!SpeaksMesh()) return StartRelay(nullptr);  // one stream, one connection
  links_->Speaks(target());
  std::unique_ptr<Link> link = ToLink(&far_, LinkRole::kOpener);
  if (link == nullptr) return Close(CloseReason::kHandshakeFailed, "no memory for a link");
  StartStream(std::move(link));
}

// The link's peer was verified, and is one that the route expects.
void OutboundConnection::StartStream(std::unique_ptr<Link> link) {
  OpenRequest request{.token = {}, .target = DestinationText(), .source = arrival().source.ToString()};
  context_->random->Fill(absl::MakeSpan(request.token));
  if (Adopt(MeshStream::Open(context_->loop, std::move(link), request, links_.get()))) StartRelay(nullptr);
}

void OutboundConnection::Resume(WorkerContext* context, Arrival arrival, std::unique_ptr<Link> link,
                                const StreamState& state) {
  (new OutboundConnection(context, std::move(arrival)))->GoOn(std::move(link), state);
}

void OutboundConnection::GoOn(std::unique_ptr<Link> link, const StreamState& state) {
  action_ = RouteNow().action;
  links_ = context_->links->To(DestinationText());
  if (!Adopt(MeshStream::Resumed(context_->loop, std::move(link), state, links_.get()))) return;
  const absl::Status expected = Expects(*peer());
  if (action_ == RouteAction::kMutualTls && expected.ok()) return ResumeRelay();
  Close(CloseReason::kPolicyChanged, expected.message());
}

bool OutboundConnection::Adopt(std::unique_ptr<MeshStream> stream) {
  SetMeshStream(stream.get());
  far_ = std::move(stream);
  if (!RecheckPeer()) return false;
  reauthentication_ = std::make_unique<Reauthentication>(
      context_, mesh(), links_,
      Reauthentication::Events{.allows = [this](const VerifiedSvid& peer) { return Expects(peer); },
                               .renewed = [this] { OnReauthenticated(); }});
  return true;
}

void OutboundConnection::Recheck() {
  if (state() == State::kReadingHeader) return;  // the view in force then will decide
  if (!RecheckPeer()) return;
  const Route& route = RouteNow();
  if (route.action != action_) {
    return Close(CloseReason::kPolicyChanged, absl::StrCat("route \"", route.name, "\" now treats it differently"));
  }
  if (peer() != nullptr && !MatchesAny(route.peers, peer()->id)) {
    return Close(CloseReason::kPolicyChanged,
                 absl::StrCat("route \"", route.name, "\" no longer expects ", peer()->id.ToString()));
  }
  rule_ = route.name;
  RecheckExpiry();
}

}  // namespace lanyard
