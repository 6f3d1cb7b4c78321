// What a connection tells of itself while it lives, beside its close: for /observed and /tap.
#include <string>

#include "proxy/connection/connection.h"

namespace lanyard {
namespace {

// That something decided against it: what a policy, a route or a ban could have decided otherwise.
bool IsRefusal(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDeniedByPolicy:
    case CloseReason::kPlaintextRefused:
    case CloseReason::kRouteRefused:
    case CloseReason::kPeerNotExpected:
    case CloseReason::kBanned: return true;
    default: return false;
  }
}

}  // namespace

void Connection::TellOpened() {
  Observe(CloseReason::kNormal);
  if (!context_->tap->watched()) return;
  context_->tap->Offer({.kind = ConnectionEvent::Kind::kOpened,
                        .time = context_->loop->clock().Now(),
                        .record = Record(),
                        .close_reason = "",
                        .detail = ""});
}

void Connection::TellClosed(const ConnectionRecord& record, CloseReason reason, absl::string_view detail) {
  context_->tap->Offer({.kind = ConnectionEvent::Kind::kClosed,
                        .time = context_->loop->clock().Now(),
                        .record = record,
                        .close_reason = std::string(CloseReasonName(reason)),
                        .detail = std::string(detail)});
}

void Connection::ObserveRefusal(CloseReason reason) {
  if (IsRefusal(reason)) Observe(reason);
}

void Connection::Observe(CloseReason verdict) {
  ObservedCall call;
  call.direction = flow_ == Flow::kInbound ? "inbound" : "outbound";
  if (own_ != nullptr) {
    call.local_id = own_->svid()->id().ToString();
  } else if (view().tls != nullptr) {
    call.local_id = view().tls->svid()->id().ToString();  // plaintext, or refused before any handshake
  }
  if (peer_ != nullptr) call.peer_id = peer_->id.ToString();
  if (flow_ == Flow::kOutbound) call.destination = DestinationText();
  call.port = arrival_.dialled.port();
  call.captured = arrival_.spec->kind == ListenerKind::kInboundCapture ||
                  arrival_.spec->kind == ListenerKind::kOutboundCapture;
  call.rule = rule_;
  call.allowed = verdict == CloseReason::kNormal;
  if (!call.allowed) call.close_reason = std::string(CloseReasonName(verdict));
  context_->observed->Add(call, context_->loop->clock().Now());
}

}  // namespace lanyard
