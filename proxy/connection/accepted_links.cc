#include "proxy/connection/accepted_links.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proxy/connection/inbound.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_origin.h"
#include "proxy/connection/newcomers.h"
#include "proxy/connection/table.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);

}  // namespace

AcceptedLinks::AcceptedLinks(WorkerContext* context)
    : context_(context), tick_(context->loop, [this] { Tick(); }) {}

AcceptedLinks::~AcceptedLinks() = default;

void AcceptedLinks::TakeBack(std::unique_ptr<Link> link) {
  if (link->state() == Link::State::kClosed || !LinkTrusted(*context_, *link).ok()) return;  // its connection closes
  Link* const key = link.get();
  links_.emplace(key, Held{.link = std::move(link)});
  context_->counters->idle_links_accepted.Set(links_.size());
  key->Observe(this);
  if (!tick_.running()) tick_.Start(kTick);
  key->idle() ? Wait(key) : BeginToLeave(key);
  BoundLeaving();  // the link may be gone
}

void AcceptedLinks::OnIdle(Link* link) {
  Held& held = links_.find(link)->second;
  leaving_.erase(std::exchange(held.leaving, 0));
  Wait(link);
  BoundLeaving();
}

void AcceptedLinks::Wait(Link* link) {
  if (draining_) link->GoAway(GoAwayReason::kDraining);
  if (!LinkShowsOurs(*context_, *link)) link->GoAway(GoAwayReason::kRotated);  // unless more was said
  waiting_.Enter(link, link->peer()->id.ToString());
  if (waiting_.size() <= context_->limits.max_idle_links) return;
  context_->counters->limit_idle_links.Add();
  Link* const surplus = waiting_.OldestOfMost();
  // As if our SVID were another: should an OPEN cross it, its stream is to move at leisure.
  surplus->GoAway(GoAwayReason::kRotated);
  BeginToLeave(surplus);
}

void AcceptedLinks::BeginToLeave(Link* link) {
  waiting_.Leave(link);
  Held& held = links_.find(link)->second;
  if (held.leaving != 0) return;
  held.leaving = next_leaving_++;
  held.since = context_->loop->now();
  leaving_.emplace(held.leaving, link);
}

// A close(2) without unread input loses nothing that the kernel has.
void AcceptedLinks::BoundLeaving() {
  while (leaving_.size() > context_->limits.max_idle_links) {
    auto closed = std::find_if(leaving_.begin(), leaving_.end(),
                               [](const auto& entry) { return !entry.second->has_unsent(); });
    if (closed == leaving_.end()) {
      if (leaving_.size() <= context_->limits.max_connections) return;
      closed = leaving_.begin();
    }
    context_->counters->limit_links_leaving.Add();
    Remove(closed->second);
  }
}

std::unique_ptr<Link> AcceptedLinks::Remove(Link* link) {
  auto node = links_.extract(link);
  context_->counters->idle_links_accepted.Set(links_.size());
  if (node.empty()) return nullptr;
  waiting_.Leave(link);
  leaving_.erase(node.mapped().leaving);
  return std::move(node.mapped().link);
}

bool AcceptedLinks::Enter(const StreamToken& token, InboundConnection* connection) {
  return streams_.emplace(token, connection).second;
}

// Requests.

void AcceptedLinks::OnOpen(Link* link, const OpenRequest& request) {
  std::unique_ptr<Link> taken = Remove(link);
  const LinkOrigin* origin = LinkOriginOf(taken->ssl());
  if (origin == nullptr || !LinkHolds(*context_, *taken).ok()) return;  // its connection closes
  const bool full = !MakeRoom(*context_);
  if (full || streams_.contains(request.token)) {
    if (full) context_->limits_reached->Reached(Limit::kConnections, "a stream over a link is refused");
    MeshStream::Accepted(context_->loop, std::move(taken), request.token, this)
        ->Refuse(full ? RefuseReason::kLimit : RefuseReason::kOther,
                 full ? "too many connections" : "the token is another stream's");
    return;
  }
  InboundConnection::StartStream(context_, std::move(taken), request);
}

void AcceptedLinks::OnAttach(Link* link, const AttachRequest& request) {
  Pass(Remove(link), request, &AcceptedLinks::Attach);
}

void AcceptedLinks::OnVouch(Link* link, const AttachRequest& request) {
  Pass(Remove(link), request, &AcceptedLinks::Vouch);
}

void AcceptedLinks::Pass(std::unique_ptr<Link> link, const AttachRequest& request, Task task) {
  // A process that took over may have fewer workers than the one that named the shard.
  const uint64_t owner = request.shard % context_->workers;
  if (IsHere(owner)) return (this->*task)(std::move(link), request.token);
  PassTo(owner, std::move(link), request.token, task);
}

bool AcceptedLinks::IsHere(uint64_t worker) const {
  return worker == static_cast<uint64_t>(context_->worker) || context_->post_to == nullptr;
}

void AcceptedLinks::PassTo(uint64_t worker, std::unique_ptr<Link> link, const StreamToken& token, Task task) {
  auto parts = std::make_shared<LinkParts>(Link::Release(std::move(link)));
  if (!parts->fd.valid()) return;
  context_->post_to(static_cast<uint32_t>(worker), [parts, task, token](WorkerContext& owner) {
    (owner.accepted_links->*task)(Link::Rebuild(owner.loop, owner.pool, std::move(*parts)), token);
  });
}

void AcceptedLinks::Attach(std::unique_ptr<Link> link, const StreamToken& token) {
  if (!LinkHolds(*context_, *link).ok()) return;  // its connection closes
  const auto found = streams_.find(token);
  if (found != streams_.end()) return found->second->Attach(std::move(link));
  if (context_->newcomers != nullptr && context_->newcomers->Attach(link, token)) return;
  // One that the process before this one had comes to another worker than it was with there.
  const uint64_t expected_at = WorkerNext(token, context_->workers);
  if (!IsHere(expected_at)) return PassTo(expected_at, std::move(link), token, &AcceptedLinks::Attach);
  link->RefuseAttach(RefuseReason::kUnknownStream, "no such stream here");
  TakeBack(std::move(link));
}

void AcceptedLinks::Vouch(std::unique_ptr<Link> link, const StreamToken& token) {
  if (!LinkHolds(*context_, *link).ok()) return;  // its connection closes
  const auto found = streams_.find(token);
  const uint64_t expected_at = WorkerNext(token, context_->workers);
  if (found == streams_.end() && !IsHere(expected_at)) {
    return PassTo(expected_at, std::move(link), token, &AcceptedLinks::Vouch);
  }
  link->AnswerVouch(static_cast<uint32_t>(context_->worker),
                    found == streams_.end() ? absl::NotFoundError("no such stream here") : found->second->Vouch(*link));
  TakeBack(std::move(link));
}

void AcceptedLinks::OnClosed(Link* link) {
  NoteIfBroken(*context_, *link);
  Remove(link);
}

// Time and change.

void AcceptedLinks::Retire(Link* link) {
  context_->counters->links_retired.Add();
  link->Retire();
  BeginToLeave(link);
}

void AcceptedLinks::OnViewChange(const ViewChange& change) {
  std::vector<Link*> gone;
  for (const auto& [link, held] : links_) {
    if (change.TouchesConnections() && !LinkTrusted(*context_, *link).ok()) {
      gone.push_back(link);
    } else if (change.own_svid || change.identity_withdrawn) {
      link->GoAway(GoAwayReason::kRotated);
    }
  }
  for (Link* link : gone) {
    context_->counters->links_retired.Add();
    Remove(link);
  }
}

void AcceptedLinks::Drain() {
  draining_ = true;
  // Its opener closes an idle one, for only the opener knows whether an OPEN is on its way, which is still answered.
  for (const auto& [link, held] : links_) {
    if (link->state() != Link::State::kRetiring) link->GoAway(GoAwayReason::kDraining);
  }
}

void AcceptedLinks::Tick() {
  const absl::Duration now = context_->loop->now();
  for (const auto& [link, held] : links_) {
    if (!link->idle()) continue;
    const bool asked = held.leaving != 0 && now - held.since >= kRoomGrace;
    const bool aged = now - link->idle_since() >= 2 * context_->limits.idle_link_timeout;
    if (asked || aged || context_->loop->clock().Now() >= LinkExpiry(*link->peer(), *link->own())) Retire(link);
  }
  BoundLeaving();
  if (!links_.empty()) tick_.Start(kTick);
}

}  // namespace lanyard
