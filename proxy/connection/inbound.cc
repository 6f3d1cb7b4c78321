// accept -> original port -> table -> PROXY protocol header -> first bytes: TLS or plaintext -> handshake, verify the
// SVID -> decide -> dial the workload -> relay -> log
// With a peer that speaks the mesh protocol the TLS connection becomes a link (accepted_links.h), and each of its
// streams begins at "decide".
#include "proxy/connection/inbound.h"

#include <openssl/ssl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/accepted_links.h"
#include "proxy/connection/client_hello.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_origin.h"
#include "proxy/connection/proxy_header.h"

namespace lanyard {

InboundConnection::InboundConnection(WorkerContext* context, Arrival arrival)
    : Connection(context, std::move(arrival), Flow::kInbound), received_(context->pool) {}

void InboundConnection::StartStream(WorkerContext* context, std::unique_ptr<Link> link, const OpenRequest& request) {
  const LinkOrigin& origin = *LinkOriginOf(link->ssl());
  Arrival arrival{.stream = nullptr, .listener = origin.listener, .spec = origin.spec, .fixed = origin.fixed,
                  .source = origin.remote, .dialled = origin.local, .hops = origin.hops};
  auto stream = MeshStream::Accepted(context->loop, std::move(link), request.token, context->accepted_links);
  MeshStream* const mesh = stream.get();
  arrival.stream = std::move(stream);
  (new InboundConnection(context, std::move(arrival)))->BeginStream(mesh, request);
}

void InboundConnection::BeginStream(MeshStream* stream, const OpenRequest& request) {
  context_->accepted_links->Enter(request.token, this);
  request_ = std::make_unique<OpenRequest>(request);
  SetMeshStream(stream);
  if (RecheckPeer()) Decide();
}

void InboundConnection::Resume(WorkerContext* context, Arrival arrival, std::unique_ptr<Link> link,
                               const StreamState& state, const OpenRequest& request,
                               std::unique_ptr<Stream> application, Place place) {
  auto stream = MeshStream::Resumed(context->loop, std::move(link), state, context->accepted_links);
  MeshStream* const mesh = stream.get();
  arrival.stream = std::move(stream);
  auto* const connection = new InboundConnection(context, std::move(arrival));
  connection->peer_place_ = std::move(place);
  connection->GoOn(mesh, request, std::move(application));
}

void InboundConnection::GoOn(MeshStream* stream, const OpenRequest& request, std::unique_ptr<Stream> application) {
  answered_ = true;
  SetDialled(std::move(application));
  context_->accepted_links->Enter(request.token, this);
  request_ = std::make_unique<OpenRequest>(request);
  SetMeshStream(stream);
  if (RecheckPeer() && Admit()) ResumeRelay();
}

void InboundConnection::OnClose() {
  if (mesh() == nullptr) return;
  context_->accepted_links->Leave(request_->token);
  if (!answered_) mesh()->Refuse(refusal_, "");
}

void InboundConnection::Attach(std::unique_ptr<Link> link) {
  const absl::Status begun = mesh()->Attach(std::move(link), [this](absl::Status carried) {
    if (carried.ok()) OnReauthenticated();
  });
  if (!begun.ok()) Log(LogLevel::kDebug, "a link was not attached to its stream", {{"error", begun}});
}

void InboundConnection::Start(WorkerContext* context, Arrival arrival) {
  auto* const connection = new InboundConnection(context, std::move(arrival));  // entered the table, before any check
  connection->EnterUnknown();
  connection->Begin();
}

void InboundConnection::EnterUnknown() { context_->table->EnterUnknown(this, SourceKey(arrival().source)); }

void InboundConnection::LeaveUnknown() {
  unknown_caller_.GiveBack();
  context_->table->LeaveUnknown(this);
}

absl::Status InboundConnection::Vouch(const Link& link) {
  // As after a jump of the clock: it is to be closed, not to be revived.
  const bool expired = context_->loop->clock().Now() >= LinkExpiry(*mesh()->peer(), *mesh()->own());
  if (expired && view().on_svid_expiry != OnSvidExpiry::kKeep) {
    return absl::FailedPreconditionError("an SVID of the stream has expired");
  }
  if (view().identity_withdrawn) return absl::FailedPreconditionError("this side's identity was withdrawn");
  if (const absl::Status vouched = mesh()->Vouched(link); !vouched.ok()) return vouched;
  OnReauthenticated();
  if (state() == State::kClosed) return absl::FailedPreconditionError("the stream is no longer allowed");
  return absl::OkStatus();
}

// A plaintext caller is decided like any other, with no ID.
PolicyDecision InboundConnection::DecideNow() const {
  const CallFacts facts = {.port = arrival().dialled.port(), .peer = peer() != nullptr ? &peer()->id : nullptr};
  return view().PolicyFor(arrival().listener, arrival().spec->kind).Decide(facts);
}

void InboundConnection::OnArrived() {
  if (!arrival().spec->accepted_header.from.empty()) EnterUnknown();  // it has named another source
  Places& sources = context_->places->by_source;
  if (!sources.Take(SourceKey(arrival().source), &unknown_caller_)) {
    return Close(CloseReason::kLimitSourceConnections,
                 absl::StrCat(arrival().source.HostString(), " has ", sources.most_each(),
                              " connections that are not authenticated yet; see limits.max_connections_per_source"));
  }
  const InboundPolicy& policy = view().PolicyFor(arrival().listener, arrival().spec->kind);
  permissive_ = policy.AllowsPlaintext(arrival().dialled.port());
  without_alpn_ = policy.NamesPeers(arrival().dialled.port()) ? NoAlpn::kIsTls : NoAlpn::kIsNot;
  EnterState(State::kSniffing, permissive_ ? context_->limits.sniff_timeout : context_->limits.handshake_timeout);
  OnSniffable();
}

void InboundConnection::OnSniffable() {
  IoResult read{IoStatus::kOk};
  SniffVerdict verdict = SniffVerdict::kNeedMore;
  // On until it is decided or nothing is left: the stream does not speak twice of what it has.
  while (verdict == SniffVerdict::kNeedMore && received_.room() > 0 && read.status == IoStatus::kOk) {
    read = near_->Read(received_.space());
    if (read.status == IoStatus::kError) return Close(CloseReason::kPeerReset, near_->error_text());
    if (read.status == IoStatus::kOk) received_.Produced(read.size_bytes);
    // Where plaintext is allowed, TLS that is not the mesh's is the application's own. A caller who offers nothing
    // by ALPN may be either: where peers are named it is taken for one of them (any SPIFFE client by mutual TLS).
    verdict = permissive_ ? SniffTlsWithAlpn(received_.content(), kMeshAlpn, without_alpn_)
                          : SniffTls(received_.content());
  }
  if (verdict == SniffVerdict::kTls) {
    // The caller's time runs on from its arrival, unless that was the short time of a sniff.
    if (permissive_) EnterState(State::kHandshaking, context_->limits.handshake_timeout);
    return Handshake(&near_, view().tls->NewServer(), &received_);
  }
  if (verdict == SniffVerdict::kNeedMore && read.status == IoStatus::kWouldBlock) return received_.Trim();
  if (permissive_) return OnPlaintext();
  if (received_.empty()) return Close(CloseReason::kHandshakeFailed, "the caller left without a word");
  Close(CloseReason::kPlaintextRefused, "the caller does not speak TLS, and no rule allows plaintext on this port");
}

void InboundConnection::OnDeadline() {
  if (permissive_) return OnPlaintext();  // its protocol lets the server speak first
  Close(CloseReason::kHandshakeTimeout, "the caller said nothing within handshake_timeout");
}

void InboundConnection::OnPlaintext() {
  const PolicyDecision decision = DecideNow();
  if (!decision.allowed) return Close(CloseReason::kPlaintextRefused, decision.reason);
  decided_ = true;
  rule_ = decision.rule;
  LeaveUnknown();
  Dial();
}

void InboundConnection::OnHandshake() {
  LeaveUnknown();
  if (!SpeaksMesh()) return Decide();
  // Each stream that it opens is decided by itself.
  std::unique_ptr<Link> link = ToLink(&near_, LinkRole::kAcceptor);
  if (link == nullptr) return Close(CloseReason::kHandshakeFailed, "no memory for a link");
  context_->accepted_links->TakeBack(std::move(link));
  Dissolve();
}

void InboundConnection::Decide() {
  if (MayShowIdentity() && Admit()) Dial();
}

bool InboundConnection::Admit() {
  const PolicyDecision decision = DecideNow();
  if (!decision.allowed) {
    Refuse(CloseReason::kDeniedByPolicy, decision.reason);
    return false;
  }
  Places& peers = context_->places->by_peer;
  if (!peer_place_.held() && !peers.Take(peer()->id.ToString(), &peer_place_)) {
    refusal_ = RefuseReason::kLimit;
    Refuse(CloseReason::kLimitPeerConnections,
           absl::StrCat(peer()->id.ToString(), " has ", peers.most_each(),
                        " connections here already; see limits.max_connections_per_peer"));
    return false;
  }
  refusal_ = RefuseReason::kUnreachable;
  decided_ = true;
  rule_ = decision.rule;
  return true;
}

void InboundConnection::OnConnected() {
  if (mesh() != nullptr) {
    answered_ = true;
    mesh()->Accept(static_cast<uint32_t>(context_->worker));
  }
  StartRelay(&received_, HeaderForServer());
}

// A peer's word of where its caller sits is taken, but never that it sits here: servers trust that address.
std::string InboundConnection::HeaderForServer() const {
  const ProxyProtocol version = arrival().spec->HeaderFor(arrival().dialled.port());
  if (version == ProxyProtocol::kNone) return {};
  SocketAddress source = arrival().source;
  if (request_ != nullptr) {
    const absl::StatusOr<SocketAddress> said = SocketAddress::Parse(request_->source);
    if (said.ok() && !said->is_loopback() && !said->is_unspecified()) source = *said;
  }
  return WriteProxyHeader(version, source, arrival().dialled, peer() != nullptr ? peer()->id.ToString() : "");
}

void InboundConnection::Recheck() {
  if (!decided_) return;  // the view in force then will decide
  if (!RecheckPeer()) return;
  const PolicyDecision decision = DecideNow();
  if (!decision.allowed) return Refuse(CloseReason::kPolicyChanged, decision.reason);
  rule_ = decision.rule;
  RecheckExpiry();
}

}  // namespace lanyard
