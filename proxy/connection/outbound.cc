// accept -> route -> table -> dial -> handshake, verify the SVID, an ID that was expected -> relay -> log
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

void OutboundConnection::Begin() {
  if (arrival().looped) {
    return Close(CloseReason::kLoopDetected, "the capture port itself was dialled; nothing is redirected to it");
  }
  const Route& route = RouteNow();
  action_ = route.action;
  rule_ = route.name;
  if (action_ == RouteAction::kRefuse) {
    return Close(CloseReason::kRouteRefused, absl::StrCat("route \"", rule_, "\" refuses this destination"));
  }
  Dial();
}

void OutboundConnection::OnConnected() {
  if (action_ == RouteAction::kPassThrough) return StartRelay(nullptr);
  bssl::UniquePtr<SSL> ssl = view().tls->NewClient();
  if (ssl != nullptr) {
    const std::string destination =
        arrival().fixed != nullptr ? arrival().fixed->ToString() : arrival().dialled.ToString();
    context_->sessions->Attach(ssl.get(), destination);
  }
  EnterState(State::kHandshaking, context_->limits.handshake_timeout);
  Handshake(&far_, std::move(ssl), nullptr);
}

void OutboundConnection::OnHandshake() {
  const Route& route = RouteNow();  // as of now: it may have changed meanwhile
  rule_ = route.name;
  if (!MatchesAny(route.peers, peer()->id)) {
    return Close(CloseReason::kPeerNotExpected,
                 absl::StrCat(peer()->id.ToString(), " answered, which route \"", rule_, "\" does not expect"));
  }
  StartRelay(nullptr);
}

void OutboundConnection::Recheck() {
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
