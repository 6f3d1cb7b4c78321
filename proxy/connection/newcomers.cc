#include "proxy/connection/newcomers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/accepted_links.h"
#include "proxy/connection/inbound.h"
#include "proxy/connection/outbound.h"
#include "proxy/connection/table.h"

namespace lanyard {

bool IsFull(const WorkerContext& context) {
  const size_t coming = context.newcomers == nullptr ? 0 : context.newcomers->coming();
  return context.table->size() + coming >= context.limits.max_connections;
}

bool MakeRoom(const WorkerContext& context) {
  while (IsFull(context)) {
    if (!context.table->EndUnknown()) return false;
  }
  return true;
}

Newcomers::Newcomers(WorkerContext* context)
    : context_(context),
      dial_later_(context->loop, [this] { DialWaiting(); }),
      line_(context, MoveLine::Side::kNext, [](WorkerContext& other) { return &other.newcomers->line_; },
            {.on_message = [this](const MoveMessage& message, UniqueFd fd) { OnMessage(message, std::move(fd)); },
             .on_closed = [this] { Closed(); }}) {}

Newcomers::~Newcomers() = default;

// Their links close, and their peers stay where they are.
void Newcomers::Closed() {
  by_token_.clear();
  to_dial_.clear();
  expected_.clear();
  coming_ = opened_ = 0;
  context_->streams_come = false;
}

void Newcomers::OnMessage(const MoveMessage& message, UniqueFd fd) {
  if (message.kind == MoveKind::kOffer) return OnOffer(message);
  const auto found = expected_.find(message.id);
  if (found == expected_.end()) return;  // it was refused meanwhile; a socket that came with it is reset
  Expected& expected = *found->second;
  if (message.kind == MoveKind::kGo && expected.link != nullptr && !expected.accepted) {
    expected.accepted = true;
    expected.link->AcceptAttach(static_cast<uint32_t>(context_->worker));
  } else if (message.kind == MoveKind::kYours) {
    Take(Remove(message.id), message, std::move(fd));
  } else if (message.kind == MoveKind::kCancel) {
    Cancel(message.id, RefuseReason::kBusy, "the stream cannot be carried over now");
  }
}

std::unique_ptr<Newcomers::Expected> Newcomers::Remove(uint64_t id) {
  auto node = expected_.extract(id);
  if (node.empty()) return nullptr;
  const auto by_token = by_token_.find(node.mapped()->offer.token);
  if (by_token != by_token_.end() && by_token->second == id) by_token_.erase(by_token);
  if (node.mapped()->coming) --coming_;
  if (node.mapped()->offer.opened) --opened_;
  context_->streams_come = opened_ > 0;
  return std::move(node.mapped());
}

void Newcomers::Comes(Expected& expected) {
  if (!std::exchange(expected.coming, true)) ++coming_;
}

// The peer of a stream that this side opened stays with the process before, as the stream does; one that opened the
// stream may have given this link up for another that is to come.
void Newcomers::OnLost(Expected& expected) {
  const std::unique_ptr<Link> link = std::move(expected.link);
  if (expected.offer.opened) return No(expected.id, absl::UnavailableError(link->error_text()));
  if (std::exchange(expected.coming, false)) --coming_;
  expected.accepted = false;
  expected.place.GiveBack();
}

// A link that the peer waits for is answered, one that it uses is closed.
void Newcomers::Cancel(uint64_t id, RefuseReason reason, absl::string_view text) {
  const std::unique_ptr<Expected> expected = Remove(id);
  if (expected == nullptr || expected->link == nullptr || expected->accepted) return;
  expected->link->RefuseAttach(reason, text);
  context_->accepted_links->TakeBack(std::move(expected->link));
}

void Newcomers::No(uint64_t id, const absl::Status& why, RefuseReason reason) {
  line_.Send({.kind = MoveKind::kNo, .id = id, .why = std::string(why.message())});
  Cancel(id, reason, why.message());
}

// One whose peer has not come yet is decided when it comes.
void Newcomers::OnViewChange(const ViewChange& change) {
  if (!change.TouchesConnections()) return;
  std::vector<std::pair<uint64_t, absl::Status>> refused;
  for (const auto& [id, expected] : expected_) {
    if (absl::Status still = StillAllows(*expected); !still.ok()) refused.emplace_back(id, std::move(still));
  }
  for (const auto& [id, why] : refused) No(id, why, RefuseReason::kNotAllowed);
}

// Offers.

void Newcomers::OnOffer(const MoveMessage& message) {
  Remove(message.id);  // nobody offers one twice
  auto expected = std::make_unique<Expected>(this);
  expected->id = message.id;
  expected->offer = message.offer;
  Expected* const entered = expected.get();
  expected_[message.id] = std::move(expected);
  if (message.offer.opened) ++opened_;
  context_->streams_come = opened_ > 0;
  if (const absl::Status begun = Begin(entered); !begun.ok()) No(message.id, begun);
}

// What is offered again and again counts once.
absl::Status Newcomers::HasRoom() {
  const uint64_t share = uint64_t{context_->limits.max_connections} * kShareOfConnectionsPercent / 100;
  const bool full = expected_.size() + context_->table->size() > std::max<uint64_t>(share, 1);
  const bool was_full = std::exchange(full_, full);
  if (!full_) return absl::OkStatus();
  if (!was_full) {
    context_->limits_reached->Reached(Limit::kConnections, "streams stay with the process before this one");
  }
  return absl::ResourceExhaustedError("too many connections");
}

absl::Status Newcomers::Begin(Expected* expected) {
  const StreamOffer& offer = expected->offer;
  if (draining_) return absl::UnavailableError("this process is being replaced as well");
  if (const absl::Status room = HasRoom(); !room.ok()) return room;
  const Acceptor::Known door = context_->acceptor->Find(offer.listener);
  const absl::StatusOr<SocketAddress> source = SocketAddress::Parse(offer.source);
  const absl::StatusOr<SocketAddress> dialled = SocketAddress::Parse(offer.dialled);
  if (door.spec == nullptr || !source.ok() || !dialled.ok()) {
    return absl::NotFoundError(absl::StrCat("there is no listener \"", offer.listener, "\" here"));
  }
  const bool outbound = door.spec->kind == ListenerKind::kOutboundCapture ||
                        door.spec->kind == ListenerKind::kOutboundStatic;
  const std::string destination = door.fixed != nullptr ? door.fixed->ToString() : dialled->ToString();
  if (outbound != offer.opened || destination != offer.destination) {
    return absl::FailedPreconditionError(absl::StrCat("listener \"", offer.listener, "\" is another one here"));
  }
  if (offer.opened) return Dial(expected);
  by_token_[offer.token] = expected->id;
  return absl::OkStatus();
}

// Streams that this side opened.

absl::Status Newcomers::Dial(Expected* expected) {
  const StreamOffer& offer = expected->offer;
  const absl::StatusOr<SpiffeId> peer = SpiffeId::Parse(offer.peer_id);
  if (!peer.ok()) return peer.status();
  if (const absl::Status allowed = Allows(offer, *peer); !allowed.ok()) return allowed;
  const absl::StatusOr<SocketAddress> remote = SocketAddress::Parse(offer.remote);
  if (!remote.ok()) return remote.status();
  if (context_->counters->link_handshakes_in_flight.value() >= context_->limits.max_link_handshakes) {
    context_->counters->limit_link_handshakes.Add();
    if (to_dial_.size() >= kMaxWaiting) {
      return absl::ResourceExhaustedError("too many handshakes are in flight; see mesh_links.max_handshakes");
    }
    to_dial_.push_back(expected->id);
    if (!dial_later_.running()) dial_later_.Start(kDialPause);
    return absl::OkStatus();
  }
  expected->dial = std::make_unique<LinkDial>(context_, *remote, offer.destination, [this, expected](auto link) {
    OnDialled(expected, std::move(link));
  });
  return absl::OkStatus();
}

// First come, first served. What holds now may not be what held when it was offered.
void Newcomers::DialWaiting() {
  for (size_t left = to_dial_.size(); left > 0; --left) {
    if (context_->counters->link_handshakes_in_flight.value() >= context_->limits.max_link_handshakes) {
      return dial_later_.Start(kDialPause);
    }
    const uint64_t id = to_dial_.front();
    to_dial_.pop_front();
    const auto found = expected_.find(id);
    if (found == expected_.end()) continue;  // it was withdrawn
    const absl::Status begun =
        draining_ ? absl::UnavailableError("this process is being replaced as well") : Dial(found->second.get());
    if (!begun.ok()) No(id, begun);
  }
}

void Newcomers::OnDialled(Expected* expected, absl::StatusOr<std::unique_ptr<Link>> link) {
  expected->dial.reset();
  if (!to_dial_.empty()) dial_later_.Start(absl::ZeroDuration());
  if (!link.ok()) return No(expected->id, link.status());
  if (const absl::Status allowed = Allows(expected->offer, (*link)->peer()->id); !allowed.ok()) {
    return No(expected->id, allowed);
  }
  if (!MakeRoom(*context_)) return No(expected->id, absl::ResourceExhaustedError("too many connections"));
  Comes(*expected);
  expected->inquiry = LinkInquiry::Attach(
      context_->loop, *std::move(link), {expected->offer.token, expected->offer.shard},
      [this, expected](LinkInquiry::Answer answer) { OnAnswered(expected, std::move(answer)); });
}

void Newcomers::OnAnswered(Expected* expected, LinkInquiry::Answer answer) {
  expected->inquiry.reset();
  if (answer.link == nullptr || !answer.status.ok()) return No(expected->id, answer.status);
  // The view may be another one than when it was asked.
  const absl::Status trusted = LinkTrusted(*context_, *answer.link);
  if (!trusted.ok()) return No(expected->id, trusted);
  expected->accepted = true;
  expected->offer.shard = answer.shard;  // the peer may have been replaced as well
  expected->link = std::move(answer.link);
  expected->link->Watch(expected);
  line_.Send({.kind = MoveKind::kReady, .id = expected->id});
}

// Streams that their peers opened.

bool Newcomers::Attach(std::unique_ptr<Link>& link, const StreamToken& token) {
  const auto found = by_token_.find(token);
  if (found == by_token_.end()) return false;
  Expected& expected = *expected_[found->second];
  RefuseReason reason = RefuseReason::kNotAllowed;
  if (const absl::Status admitted = Admits(expected, link->peer()->id, &reason); !admitted.ok()) {
    link->RefuseAttach(reason, admitted.message());
    context_->accepted_links->TakeBack(std::move(link));
    return true;
  }
  // After GO the peer may use the one that is here, though YOURS is still to come. One that it gives up it closes
  // before it dials another.
  if (expected.accepted && expected.link->PeerIsThere()) {
    link->RefuseAttach(RefuseReason::kBusy, "the stream is being carried over");
    context_->accepted_links->TakeBack(std::move(link));
    return true;
  }
  Comes(expected);
  expected.link = std::move(link);  // an earlier one was given up by the peer
  expected.link->Watch(&expected);
  expected.accepted = false;
  line_.Send({.kind = MoveKind::kReady, .id = expected.id});
  return true;
}

absl::Status Newcomers::Admits(Expected& expected, const SpiffeId& peer, RefuseReason* reason) {
  if (const absl::Status allowed = Allows(expected.offer, peer); !allowed.ok()) {
    if (peer.ToString() != expected.offer.peer_id) *reason = RefuseReason::kWrongIdentity;
    return allowed;
  }
  if (expected.coming) return absl::OkStatus();  // with an earlier link: it has its place
  *reason = RefuseReason::kLimit;
  if (!MakeRoom(*context_)) {
    context_->limits_reached->Reached(Limit::kConnections, "a stream stays with the process before this one");
    return absl::ResourceExhaustedError("too many connections");
  }
  Places& peers = context_->places->by_peer;
  if (peers.Take(expected.offer.peer_id, &expected.place)) return absl::OkStatus();
  const std::string why = absl::StrCat(expected.offer.peer_id, " has ", peers.most_each(),
                                       " connections here already; see limits.max_connections_per_peer");
  context_->limits_reached->Reached(Limit::kConnectionsPerPeer, why);
  return absl::ResourceExhaustedError(why);
}

absl::Status Newcomers::Allows(const StreamOffer& offer, const SpiffeId& peer) const {
  if (peer.ToString() != offer.peer_id) {
    return absl::PermissionDeniedError(absl::StrCat("the new link's peer is ", peer.ToString(), ", the stream's is ",
                                                    offer.peer_id));
  }
  const Acceptor::Known door = context_->acceptor->Find(offer.listener);
  const SocketAddress dialled = SocketAddress::Parse(offer.dialled).value();
  if (!offer.opened) {
    const PolicyDecision decision = context_->view->PolicyFor(door.index, door.spec->kind)
                                        .Decide({.port = dialled.port(), .peer = &peer});
    return decision.allowed ? absl::OkStatus() : absl::PermissionDeniedError(decision.reason);
  }
  const Route& route = context_->view->RouteFor(door.index, door.spec->kind, dialled);
  if (route.action == RouteAction::kMutualTls && MatchesAny(route.peers, peer)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("route \"", route.name, "\" does not expect ", offer.peer_id));
}

absl::Status Newcomers::StillAllows(const Expected& expected) const {
  if (expected.link != nullptr) {
    if (absl::Status trusted = LinkTrusted(*context_, *expected.link); !trusted.ok()) return trusted;
    return Allows(expected.offer, expected.link->peer()->id);
  }
  if (expected.dial == nullptr && expected.inquiry == nullptr) return absl::OkStatus();
  const absl::StatusOr<SpiffeId> peer = SpiffeId::Parse(expected.offer.peer_id);
  return peer.ok() ? Allows(expected.offer, *peer) : peer.status();
}

// Both directions have moved.

void Newcomers::Take(std::unique_ptr<Expected> expected, const MoveMessage& message, UniqueFd fd) {
  const StreamOffer& offer = expected->offer;
  const bool known = !offer.opened && context_->accepted_links->Knows(offer.token);
  if (expected->link == nullptr || !expected->accepted || !fd.valid() || known) {
    return Log(LogLevel::kWarning, "a stream that came from the process before this one is reset",
               {{"peer_id", offer.peer_id},
                {"why", !fd.valid() ? "its application's socket did not come with it: raise the limit of open files"
                        : known     ? "there is one of its name already"
                                    : "it has no link here"}});
  }
  expected->link->Observe(nullptr);
  const Acceptor::Known door = context_->acceptor->Find(offer.listener);
  Arrival arrival{.stream = nullptr,
                  .listener = door.index,
                  .spec = door.spec,
                  .fixed = door.fixed,
                  .source = SocketAddress::Parse(offer.source).value(),
                  .dialled = SocketAddress::Parse(offer.dialled).value(),
                  .hops = 0,
                  .loop = nullptr};
  const StreamState state = {.token = offer.token, .shard = offer.shard, .sent_end = message.sent_end,
                             .received_end = message.received_end};
  std::unique_ptr<Stream> application = TcpStream::Inherited(context_->loop, std::move(fd), message.received_end);
  if (offer.opened) {
    arrival.stream = std::move(application);
    return OutboundConnection::Resume(context_, std::move(arrival), std::move(expected->link), state);
  }
  const OpenRequest request = {.token = offer.token, .target = offer.application_target,
                               .source = offer.application_source};
  StreamState here = state;
  here.shard = static_cast<uint32_t>(context_->worker);
  InboundConnection::Resume(context_, std::move(arrival), std::move(expected->link), here, request,
                            std::move(application), std::move(expected->place));
}

}  // namespace lanyard
