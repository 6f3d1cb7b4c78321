#include "proxy/connection/connection.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/connect_failure.h"
#include "proxy/connection/departures.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_origin.h"
#include "proxy/connection/stream_deadline.h"

namespace lanyard {
namespace {

// Wall-clock time may jump, so a wait for it is never longer than this.
constexpr absl::Duration kLongestWait = absl::Seconds(30);

uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Connection::Connection(WorkerContext* context, Arrival arrival, Flow flow)
    : context_(context),
      near_(std::move(arrival.stream)),
      arrival_(std::move(arrival)),
      flow_(flow),
      id_(NextId()),
      opened_(context->loop->now()),
      timer_(context->loop, [this] { OnTimer(); }) {
  near_->set_observer(this);
  context_->table->Enter(this);
  if (flow_ == Flow::kOutbound) CountAccepted();
  context_->counters->open[static_cast<size_t>(flow_)].Add();
}

// A TLS connection from the mesh may turn out to be a link, whose streams are what counts.
void Connection::CountAccepted() {
  if (!std::exchange(accepted_counted_, true)) context_->counters->accepted[static_cast<size_t>(flow_)].Add();
}

std::string Connection::DestinationText() const {
  return arrival_.fixed != nullptr ? arrival_.fixed->ToString() : arrival_.dialled.ToString();
}

void Connection::EnterState(State state, absl::Duration deadline) {
  state_ = state;
  timer_.Start(deadline);
}

bool Connection::StillAllowed() {
  context_->table->RecheckNow(this);
  return state_ != State::kClosed;
}

void Connection::Step() {
  if (!StillAllowed()) return;
  switch (state_) {
    case State::kReadingHeader: return StepHeader();
    case State::kSniffing: return OnSniffable();
    case State::kConnecting: return StepConnect();
    case State::kHandshaking: return AskHandshakeStep();
    case State::kRelaying: return StepRelay();
    case State::kClosed: return;
  }
}

// Arriving.

void Connection::Begin() {
  if (arrival_.loop != nullptr) {
    context_->close_log->WarnOfLoop(arrival_.spec->name, DestinationText(), arrival_.loop);
    return Close(CloseReason::kLoopDetected, arrival_.loop);
  }
  if (arrival_.misdirected) {
    return Close(CloseReason::kMisdirected, "a caller from outside was captured on its way to this machine's loopback");
  }
  const AcceptedHeader& accepted = arrival_.spec->accepted_header;
  if (accepted.from.empty()) return OnArrived();
  if (!TrustsHeaderOf(accepted, arrival_.source)) {
    return Close(CloseReason::kProxyHeaderUntrusted, "accept_proxy_protocol.from does not name the caller's address");
  }
  header_ = std::make_unique<HeaderRead>();
  EnterState(State::kReadingHeader, accepted.timeout);
  StepHeader();
}

void Connection::StepHeader() {
  const absl::StatusOr<bool> whole = header_->Step(near_.get());
  if (!whole.ok()) return Close(CloseReason::kProxyHeaderInvalid, whole.status().message());
  if (!*whole) return;
  if (const auto& ends = header_->header().ends; ends.has_value()) {
    arrival_.source = ends->source;
    arrival_.dialled = ends->destination;
  }
  header_.reset();
  timer_.Stop();
  OnArrived();
}

// Dialling.

void Connection::Dial() {
  CountAccepted();
  EnterState(State::kConnecting, context_->limits.connect_timeout);
  if (arrival_.fixed == nullptr) return OnResolved(std::vector<SocketAddress>{arrival_.dialled});
  if (arrival_.fixed->is_numeric()) return OnResolved(arrival_.fixed->numeric());
  resolving_ = std::make_shared<bool>();
  context_->resolver->Resolve(*arrival_.fixed, [this, wanted = std::weak_ptr<bool>(resolving_)](auto addresses) {
    if (!wanted.expired()) OnResolved(std::move(addresses));
  });
}

void Connection::OnResolved(absl::StatusOr<std::vector<SocketAddress>> addresses) {
  if (!addresses.ok()) return Close(CloseReason::kConnectUnreachable, addresses.status().message());
  if (!StillAllowed()) return;
  targets_ = *std::move(addresses);
  std::reverse(targets_.begin(), targets_.end());
  DialNext();
}

void Connection::DialNext() {
  target_ = targets_.back();
  targets_.pop_back();
  const uint8_t hops = static_cast<uint8_t>(arrival_.hops + 1);
  const bool from_caller = flow_ == Flow::kInbound && arrival_.spec->preserve_source;
  far_ = from_caller ? context_->dialer->DialFrom(arrival_.source, *target_, hops)
                     : context_->dialer->Dial(*target_, hops);
  far_->set_observer(this);
  StepConnect();
}

void Connection::DialAgain() {
  HandshakeEnded();
  tls_ = nullptr;
  far_.reset();
  targets_.push_back(*target_);
  EnterState(State::kConnecting, context_->limits.connect_timeout);
  DialNext();
}

void Connection::StepConnect() {
  if (far_ == nullptr) return;  // a name is being resolved, or the caller has spoken meanwhile
  const IoResult opened = far_->Open();
  if (opened.status == IoStatus::kWouldBlock) return;
  if (opened.status == IoStatus::kOk) return OnConnected();
  if (!targets_.empty()) return DialNext();
  Close(ConnectFailure(far_->error()), far_->error_text());
}

// The handshake.

bool Connection::MayShowIdentity() {
  if (!view().identity_withdrawn) return true;
  Refuse(CloseReason::kIdentityWithdrawn, "this proxy's identity was withdrawn; /ready has what its source said");
  return false;
}

void Connection::Handshake(std::unique_ptr<Stream>* side, bssl::UniquePtr<SSL> ssl, Buffer* received) {
  if (!MayShowIdentity()) return;
  if (context_->counters->handshakes_in_flight.value() >= context_->limits.max_handshakes) {
    return Close(CloseReason::kLimitHandshakes, "too many handshakes are in flight; see limits.max_handshakes");
  }
  if (ssl == nullptr) return Close(CloseReason::kHandshakeFailed, "no memory for a TLS connection");
  context_->counters->handshakes_in_flight.Add();
  in_handshake_ = true;
  handshake_began_ = context_->loop->now();
  own_ = checked_ = view().tls;
  auto stream = std::make_unique<TlsStream>(std::move(*side), std::move(ssl), context_->pool);
  tls_ = stream.get();
  tls_->set_observer(this);
  if (received != nullptr) tls_->Prepend(*received);
  *side = std::move(stream);
  state_ = State::kHandshaking;
  AskHandshakeStep();
}

void Connection::AskHandshakeStep() {
  context_->handshakes->Ask(&handshake_, [this] {
    if (StillAllowed()) StepHandshake();
  });
}

void Connection::StepHandshake() {
  const IoResult opened = tls_->Open();
  if (opened.status == IoStatus::kWouldBlock) return;
  if (opened.status == IoStatus::kError && tls_->error() == StreamError::kNoSharedProtocol && OnNoSharedProtocol()) {
    return;
  }
  if (opened.status == IoStatus::kError) return Close(HandshakeFailure(*tls_), tls_->error_text());
  HandshakeEnded();
  context_->counters->handshake_durations.Add(context_->loop->now() - handshake_began_);
  resumed_ = SSL_session_reused(tls_->ssl()) == 1;
  (resumed_ ? context_->counters->handshakes_resumed : context_->counters->handshakes_full).Add();
  peer_ = SharedPeerOf(tls_->ssl());
  if (peer_ == nullptr) return Refuse(CloseReason::kNoPeerCertificate, "the peer proved no identity");
  context_->table->SetPeer(this, peer_->id, peer_->serial);
  if (RecheckPeer()) OnHandshake();
}

void Connection::HandshakeEnded() {
  handshake_.Leave();
  if (std::exchange(in_handshake_, false)) context_->counters->handshakes_in_flight.Subtract();
}

CloseReason Connection::HandshakeFailure(const Stream& stream) const {
  switch (stream.error()) {
    case StreamError::kReset: return CloseReason::kPeerReset;
    case StreamError::kPeerAlert:
    case StreamError::kNoSharedProtocol: return CloseReason::kPeerRefused;
    case StreamError::kNoPeerCertificate: return CloseReason::kNoPeerCertificate;
    case StreamError::kPeerNotVerified: {
      const SvidDefect defect = DefectOf(PeerVerificationError(tls_->ssl()));
      context_->counters->verification_failures[static_cast<size_t>(defect)].Add();
      return ReasonOf(defect);
    }
    default: return CloseReason::kHandshakeFailed;
  }
}

bool Connection::RecheckBans() {
  const Ban* const ban = view().bans.Find(peer_->id, peer_->serial, context_->loop->clock().Now());
  if (ban != nullptr) Refuse(CloseReason::kBanned, ban->Explanation());
  return ban == nullptr;
}

bool Connection::RecheckPeer() {
  if (peer_ == nullptr) return true;
  if (!RecheckBans()) return false;
  const std::shared_ptr<const TlsContext>& now = view().tls;
  if (checked_ == now) return true;
  const bool same_bundles = checked_->bundle_version() == now->bundle_version();
  checked_ = now;
  if (same_bundles) return true;
  // Whether it may live on past its expiry is not the bundle's question: ask as of the last moment it was valid.
  const absl::Time as_of = std::min(context_->loop->clock().Now(), peer_->not_after - absl::Milliseconds(1));
  const STACK_OF(CRYPTO_BUFFER)* chain =
      mesh_ != nullptr ? mesh_->peer_chain() : SSL_get0_peer_certificates(tls_->ssl());
  if (chain == nullptr) return true;  // the stream has failed, and will be closed for that
  const absl::Status verified = now->Reverify(chain, as_of);
  if (verified.ok()) return true;
  context_->counters->verification_failures[static_cast<size_t>(DefectOf(verified))].Add();
  Refuse(CloseReason::kBundleChanged, verified.message());
  return false;
}

void Connection::RecheckExpiry() {
  if (state_ == State::kRelaying) WatchRelay();
}

// Streams over links.

bool Connection::SpeaksMesh() const { return tls_ != nullptr && Link::Speaks(tls_->ssl()); }

std::unique_ptr<Link> Connection::ToLink(std::unique_ptr<Stream>* side, LinkRole role) {
  LinkOrigin origin{.remote = arrival_.source, .local = arrival_.dialled, .listener = arrival_.listener,
                    .spec = arrival_.spec, .fixed = arrival_.fixed, .hops = arrival_.hops};
  if (role == LinkRole::kOpener) origin = {.remote = *target_, .local = *target_};
  std::unique_ptr<TlsStream> tls(static_cast<TlsStream*>(side->release()));
  tls_ = nullptr;
  if (!SetLinkOrigin(const_cast<SSL*>(tls->ssl()), std::move(origin))) return nullptr;
  return std::make_unique<Link>(context_->loop, std::move(tls), role, own_);
}

void Connection::SetMeshStream(MeshStream* stream) {
  mesh_ = stream;
  tls_ = nullptr;
  peer_ = mesh_->peer();
  own_ = checked_ = mesh_->own();
  mesh_->set_observer(this);
  context_->table->SetPeer(this, peer_->id, peer_->serial);
}

void Connection::OnReauthenticated() {
  peer_ = mesh_->peer();
  own_ = checked_ = mesh_->own();
  expiry_counted_ = false;
  ask_to_move_.reset();
  context_->table->SetPeer(this, peer_->id, peer_->serial);
  if (!RecheckPeer()) return;
  // The far proxy may have found this process once more, which it was to leave.
  if (context_->departures != nullptr && context_->departures->Asked(departure_ != 0)) {
    AskToMove(GoAwayReason::kDraining);
  }
  if (own_->svid()->chain() != view().tls->svid()->chain()) OwnSvidChanged();  // it has changed again meanwhile
  if (state_ == State::kRelaying) WatchRelay();
}

void Connection::OwnSvidChanged() {
  if (peer_ != nullptr && mark_ == 0 && state_ == State::kRelaying) WatchRelay();  // a marked one is looked at anyway
  if (mesh_ == nullptr || state_ == State::kClosed) return;
  if (reauthentication_ != nullptr) return reauthentication_->OwnSvidChanged();
  if (view().on_svid_expiry != OnSvidExpiry::kReauthenticate) return;
  const absl::Duration left = LinkExpiry(*peer_, *own_) - context_->loop->clock().Now();
  ask_to_move_ = std::make_unique<Timer>(context_->loop, [this] { mesh_->GoAway(GoAwayReason::kRotated); });
  ask_to_move_->Start(std::max(left, absl::ZeroDuration()) * 0.25 * context_->random->Uniform());
}

void Connection::AskToMove(GoAwayReason reason) {
  if (mesh_ != nullptr && flow_ == Flow::kInbound) mesh_->GoAway(reason);
}

void Connection::Dissolve() {
  HandshakeEnded();
  state_ = State::kClosed;
  timer_.Stop();
  context_->counters->open[static_cast<size_t>(flow_)].Subtract();
  context_->loop->Dispose(std::unique_ptr<Disposable>(this));
  context_->table->Leave(this);
}

// The relay.

void Connection::StartRelay(Buffer* received, std::string preface) {
  relay_.emplace(context_->loop, context_->pool, context_->buffer_budget, context_->limits.buffer_bytes, near_.get(),
                 far_.get(), [this] { Step(); });
  if (received != nullptr) relay_->Preload(*received);
  relay_->Preface(std::move(preface));
  BeginRelay();
}

void Connection::BeginRelay() {
  state_ = State::kRelaying;
  TellOpened();
  WatchRelay();
  if (state_ == State::kRelaying) StepRelay();
}

void Connection::StepRelay() {
  const RelayState state = relay_->Pump();
  Account();
  if (reauthentication_ != nullptr && mesh_->peer_going_away()) {
    reauthentication_->PeerAsks(*mesh_->peer_going_away());
  }
  switch (state) {
    case RelayState::kRunning:
      if (leaving_) StepDeparture();
      return WatchHalfClose();
    case RelayState::kFinished: return Close(CloseReason::kNormal);
    case RelayState::kNearFailed: return Close(RelayFailure(*near_), near_->error_text());
    case RelayState::kFarFailed: return Close(RelayFailure(*far_), far_->error_text());
  }
}

void Connection::Account() {
  if (peer_ == nullptr) return;
  const uint64_t forward = relay_->bytes_forward() - std::exchange(counted_forward_, relay_->bytes_forward());
  const uint64_t backward = relay_->bytes_backward() - std::exchange(counted_backward_, relay_->bytes_backward());
  const bool out = flow_ == Flow::kOutbound;
  if (forward > 0) (out ? context_->counters->bytes_to_mesh : context_->counters->bytes_from_mesh).Add(forward);
  if (backward > 0) (out ? context_->counters->bytes_from_mesh : context_->counters->bytes_to_mesh).Add(backward);
}

CloseReason Connection::RelayFailure(const Stream& stream) const {
  switch (stream.error()) {
    case StreamError::kTruncated: return CloseReason::kTlsTruncated;
    case StreamError::kPeerAlert: return CloseReason::kPeerRefused;
    case StreamError::kProtocol: return CloseReason::kTlsError;
    case StreamError::kMeshRefused: return CloseReason::kPeerRefused;
    case StreamError::kMeshProtocol: return CloseReason::kMeshProtocolError;
    case StreamError::kCarryOverFailed: return CloseReason::kReauthenticationFailed;
    case StreamError::kCarryOverTimedOut: return CloseReason::kCarryOverTimeout;
    default: break;
  }
  const bool mesh_side = (flow_ == Flow::kInbound) == (&stream == near_.get());
  return mesh_side ? CloseReason::kPeerReset : CloseReason::kAppReset;
}

// Time.

void Connection::OnTimer() {
  if (!StillAllowed()) return;
  switch (state_) {
    case State::kReadingHeader:
      return Close(CloseReason::kProxyHeaderTimeout, "no PROXY protocol header within accept_proxy_protocol.timeout");
    case State::kSniffing: return OnDeadline();
    case State::kConnecting: return Close(CloseReason::kConnectTimeout, "not connected within connect_timeout");
    case State::kHandshaking: return Close(CloseReason::kHandshakeTimeout, "no handshake within handshake_timeout");
    case State::kRelaying: return WatchRelay();
    case State::kClosed: return;
  }
}

void Connection::WatchHalfClose() {
  if (half_closed_ || state_ != State::kRelaying || !relay_->times().half_closed) return;
  half_closed_ = true;
  WatchRelay();
}

void Connection::WatchRelay() {
  const StreamDeadline deadline = NextDeadline(context_->limits, relay_->times(), context_->loop->now());
  if (deadline.left <= absl::ZeroDuration()) return Close(deadline.reason, deadline.detail);
  absl::Duration wait = deadline.left;
  if (reauthentication_ != nullptr && !mesh_->answered()) {
    // It may have been stopped, or be gone without a word.
    const absl::Duration left = opened_ + context_->limits.connect_timeout + context_->limits.handshake_timeout -
                                context_->loop->now();
    if (left <= absl::ZeroDuration()) {
      return Close(CloseReason::kHandshakeTimeout,
                   "the far proxy did not answer OPEN within connect_timeout and handshake_timeout");
    }
    wait = std::min(wait, left);
  }
  if (peer_ != nullptr) {
    // A ban may have seemed to be over when this peer came, by a clock that was wrong and has been set right.
    if (!RecheckBans()) return;
    if (view().bans.NextExpiry() != absl::InfiniteFuture()) wait = std::min(wait, kLongestWait);
    const absl::Duration left = LinkExpiry(*peer_, *own_) - context_->loop->clock().Now();
    if (left <= absl::ZeroDuration()) OnExpired();
    if (state_ == State::kClosed) return;
    if (left > absl::ZeroDuration()) wait = std::min(wait, std::min(left, kLongestWait));
  }
  if (wait == absl::InfiniteDuration()) {
    timer_.Stop();
  } else {
    timer_.Start(wait);
  }
}

void Connection::OnExpired() {
  const char* whose = peer_->not_after <= own_->svid()->not_after() ? "the peer's SVID" : "our own SVID";
  switch (view().on_svid_expiry) {
    case OnSvidExpiry::kKeep:
      if (!std::exchange(expiry_counted_, true)) context_->counters->svid_expired_kept.Add();
      return;
    case OnSvidExpiry::kClose:
      return Close(CloseReason::kSvidExpiredWhileOpen, absl::StrCat(whose, " expired and on_svid_expiry says close"));
    case OnSvidExpiry::kReauthenticate: break;
  }
  if (mesh_ == nullptr) {
    return Close(CloseReason::kSvidExpiredWhileOpen,
                 absl::StrCat(whose, " expired, and the peer does not speak ", kMeshAlpn));
  }
  const std::string last = reauthentication_ == nullptr ? "" : reauthentication_->last_failure();
  Close(CloseReason::kReauthenticationFailed,
        absl::StrCat(whose, " expired before the stream could be authenticated anew", last.empty() ? "" : ": ", last));
}

// The end.

namespace {

ResetReason ResetReasonOf(CloseReason reason) {
  switch (reason) {
    case CloseReason::kBanned: return ResetReason::kBanned;
    case CloseReason::kPolicyChanged:
    case CloseReason::kBundleChanged: return ResetReason::kNotAllowed;
    case CloseReason::kSvidExpiredWhileOpen:
    case CloseReason::kReauthenticationFailed: return ResetReason::kExpired;
    case CloseReason::kDrainDeadline: return ResetReason::kDraining;
    default: return ResetReason::kStream;
  }
}

}  // namespace

void Connection::Refuse(CloseReason reason, absl::string_view detail) {
  if (flow_ == Flow::kInbound && tls_ != nullptr && tls_ == near_.get()) tls_->Refuse();
  Close(reason, detail);
}

void Connection::Close(CloseReason reason, absl::string_view detail) {
  if (state_ == State::kClosed) return;
  const bool logged = context_->access_log->enabled() && context_->close_log->Admit(reason, LogParty());
  const bool watched = context_->tap->watched();  // once: somebody may begin to watch meanwhile
  const ConnectionRecord record = logged || watched ? Record() : ConnectionRecord();
  if (state_ != State::kRelaying) ObserveRefusal(reason);
  CountAccepted();
  if (const std::optional<Limit> limit = LimitOf(reason)) context_->limits_reached->Reached(*limit, detail);
  OnClose();
  if (departure_ != 0) context_->departures->Withdraw(departure_);
  HandshakeEnded();
  state_ = State::kClosed;
  timer_.Stop();
  resolving_.reset();
  ask_to_move_.reset();
  if (reauthentication_ != nullptr) reauthentication_->Stop();
  for (Stream* stream : {near_.get(), far_.get()}) {
    if (stream == nullptr) continue;
    stream->set_observer(nullptr);
    if (reason == CloseReason::kNormal) continue;
    stream == mesh_ ? mesh_->ResetFor(ResetReasonOf(reason)) : stream->Reset();
  }
  context_->counters->open[static_cast<size_t>(flow_)].Subtract();
  context_->counters->closes[static_cast<size_t>(flow_)][static_cast<size_t>(reason)].Add();
  context_->counters->connection_durations.Add(context_->loop->now() - opened_);
  if (logged) context_->access_log->Write(record, reason, resumed_, detail, context_->loop->clock().Now());
  if (watched) TellClosed(record, reason, detail);
  context_->loop->Dispose(std::unique_ptr<Disposable>(this));
  context_->table->Leave(this);
}

}  // namespace lanyard
