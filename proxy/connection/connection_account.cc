// What a connection tells of itself: its record, and what /observed and /tap show of it.
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

ConnectionRecord Connection::Record() const {
  static constexpr const char* kStateNames[] = {"reading_header", "sniffing",  "connecting",
                                                "handshaking",    "relaying", "closing"};
  ConnectionRecord record;
  record.id = id_;
  record.worker = context_->worker;
  record.direction = flow_ == Flow::kInbound ? "inbound" : "outbound";
  record.listener = arrival_.spec->name;
  record.state = kStateNames[static_cast<size_t>(state_)];
  record.source = arrival_.source.ToString();
  record.destination = DestinationText();
  if (own_ != nullptr && own_->svid() != nullptr) {
    record.local_id = own_->svid()->id().ToString();
    record.local_serial = own_->svid()->leaf().serial();
  }
  if (peer_ != nullptr) {
    record.peer_id = peer_->id.ToString();
    record.peer_serial = peer_->serial;
    record.peer_not_after = peer_->not_after;
    record.tls = "TLSv1.3";  // there is no other in the mesh
  }
  if (mesh_ != nullptr) record.protocol = kMeshAlpn;
  if (request_ != nullptr) {
    record.application_source = request_->source;
    record.application_target = request_->target;
  }
  record.rule = rule_;
  const absl::Duration now = context_->loop->now();
  if (relay_.has_value()) {
    record.bytes_sent = relay_->bytes_forward();
    record.bytes_received = relay_->bytes_backward();
  }
  record.age = now - opened_;
  record.idle = now - (relay_.has_value() ? relay_->last_activity() : opened_);
  return record;
}

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

CloseLog::Party Connection::LogParty() const {
  if (flow_ == Flow::kInbound && peer_ == nullptr) return CloseLog::Party::kStranger;
  if (relay_.has_value()) return CloseLog::Party::kLetIn;
  return flow_ == Flow::kInbound ? CloseLog::Party::kPeer : CloseLog::Party::kApplication;
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
