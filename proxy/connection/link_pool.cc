#include "proxy/connection/link_pool.h"

#include <algorithm>
#include <utility>

#include "proxy/connection/link_origin.h"

namespace lanyard {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr size_t kSteadyIdleLinks = 8;  // more of one destination are a burst's, and age faster
constexpr absl::Duration kPlainFor = absl::Minutes(5);
constexpr absl::Duration kLeastLeft = absl::Milliseconds(500);

std::unique_ptr<Link> Remove(std::vector<std::unique_ptr<Link>>& links, const Link* link) {
  for (auto each = links.begin(); each != links.end(); ++each) {
    if (each->get() != link) continue;
    std::unique_ptr<Link> removed = std::move(*each);
    links.erase(each);
    return removed;
  }
  return nullptr;
}

}  // namespace

PeerLinks::PeerLinks(LinkPool* pool, std::string destination)
    : pool_(pool),
      context_(pool->context_),
      destination_(std::move(destination)),
      turns_(context_->loop, std::max<size_t>(context_->limits.max_handshakes / 16, 1)) {}

PeerLinks::~PeerLinks() {
  for (size_t i = 0; i < idle_.size(); ++i) context_->counters->idle_links_opened.Subtract();
  for (size_t i = 0; i < leaving_.size(); ++i) context_->counters->links_leaving.Subtract();
}

std::unique_ptr<Link> PeerLinks::Take(const std::vector<PeerPattern>& peers, bool again) {
  if (!again) ++demand_;
  std::unique_ptr<Link> taken;
  for (size_t i = idle_.size(); i-- > 0 && taken == nullptr;) {
    std::unique_ptr<Link>& link = idle_[i];
    // A call that is on its way when an SVID expires would be turned away.
    const absl::Duration left = LinkExpiry(*link->peer(), *link->own()) - context_->loop->clock().Now();
    const bool present = left > kLeastLeft &&
        LinkShowsOurs(*context_, *link) && !link->going_away() && LinkHolds(*context_, *link).ok();
    if (present && !MatchesAny(peers, link->peer()->id)) continue;  // another route's, perhaps
    std::unique_ptr<Link> removed = std::move(link);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    context_->counters->idle_links_opened.Subtract();
    removed->Observe(nullptr);
    if (present && removed->idle()) {
      taken = std::move(removed);
    } else {
      Retire(std::move(removed));
    }
  }
  if (address_ != nullptr) (taken != nullptr ? context_->counters->pool_hits : context_->counters->pool_misses).Add();
  Replenish();
  return taken;
}

bool PeerLinks::IsQuiet(const Link& link) const {
  return context_->loop->now() - link.quiet_since() >= context_->limits.link_ping_after;
}

void PeerLinks::Unanswered() {
  const size_t gone = std::erase_if(idle_, [this](const std::unique_ptr<Link>& link) { return IsQuiet(*link); });
  for (size_t i = 0; i < gone; ++i) context_->counters->idle_links_opened.Subtract();
  context_->counters->links_unanswered.Add(1 + gone);
}

void PeerLinks::Speaks(const SocketAddress& address) {
  address_ = std::make_unique<SocketAddress>(address);
  Replenish();
}

void PeerLinks::IsPlain() {
  address_.reset();
  plain_until_ = context_->loop->now() + kPlainFor;
}

void PeerLinks::TakeBack(std::unique_ptr<Link> link) {
  if (link->idle()) --demand_;
  Keep(std::move(link));
}

void PeerLinks::Keep(std::unique_ptr<Link> link) {
  if (!link->idle()) {
    if (!LinkTrusted(*context_, *link).ok()) return;  // destroyed: its connection closes
    return LetGo(std::move(link));
  }
  const bool full = idle_.size() >= context_->limits.max_idle_links_per_destination ||
                    context_->counters->idle_links_opened.value() >= context_->limits.max_idle_links;
  if (full) context_->counters->limit_idle_links.Add();
  const bool present = LinkShowsOurs(*context_, *link) && !link->going_away() && LinkHolds(*context_, *link).ok();
  if (full || !present || pool_->draining_) return Retire(std::move(link));
  link->Observe(this);
  idle_.push_back(std::move(link));
  context_->counters->idle_links_opened.Add();
}

void PeerLinks::Retire(std::unique_ptr<Link> link) {
  context_->counters->links_retired.Add();
  if (link->state() == Link::State::kClosed || !LinkTrusted(*context_, *link).ok()) return;
  link->Retire();
  LetGo(std::move(link));
}

void PeerLinks::LetGo(std::unique_ptr<Link> link) {
  link->Observe(this);
  leaving_.push_back(std::move(link));
  context_->counters->links_leaving.Add();
  pool_->BoundLeaving(this);
}

std::unique_ptr<Link> PeerLinks::RemoveLeaving(const Link* link) {
  std::unique_ptr<Link> removed = Remove(leaving_, link);
  if (removed != nullptr) context_->counters->links_leaving.Subtract();
  return removed;
}

// A close(2) without unread input loses nothing that the kernel has.
void PeerLinks::CloseOneThatLeaves() {
  ConnectionCounters& counters = *context_->counters;
  const auto first = [this](bool retiring) {
    return std::find_if(leaving_.begin(), leaving_.end(), [retiring](const std::unique_ptr<Link>& link) {
      return !link->has_unsent() && (!retiring || link->state() == Link::State::kRetiring);
    });
  };
  auto closed = first(true);
  if (closed == leaving_.end()) closed = first(false);
  if (closed == leaving_.end() && counters.links_leaving.value() > context_->limits.max_connections) {
    closed = leaving_.begin();
  }
  if (closed == leaving_.end()) return;
  counters.limit_links_leaving.Add();
  counters.links_leaving.Subtract();
  leaving_.erase(closed);
}

void PeerLinks::OnGoAway(Link* link, GoAwayReason) {
  std::unique_ptr<Link> idle = Remove(idle_, link);
  if (idle == nullptr) return;
  context_->counters->idle_links_opened.Subtract();
  Retire(std::move(idle));
}

void PeerLinks::OnIdle(Link* link) {
  if (std::unique_ptr<Link> left = RemoveLeaving(link)) Keep(std::move(left));
}

void PeerLinks::OnClosed(Link* link) {
  NoteIfBroken(*context_, *link);
  if (Remove(idle_, link) != nullptr) {
    context_->counters->idle_links_opened.Subtract();
  } else {
    RemoveLeaving(link);
  }
}

// Ahead of need.

void PeerLinks::Replenish() {
  const int64_t wanted = std::min<int64_t>(std::max<int64_t>(demand_, demand_before_),
                                           context_->limits.max_idle_links_per_destination);
  const uint32_t all = context_->limits.max_link_handshakes;
  const uint32_t most_handshakes = context_->streams_come ? (all + 1) / 2 : all;
  while (address_ != nullptr && !dial_failed_ && !pool_->draining_ &&
         static_cast<int64_t>(idle_.size() + dials_.size()) < wanted) {
    ConnectionCounters& counters = *context_->counters;
    if (counters.link_handshakes_in_flight.value() >= most_handshakes) {
      counters.limit_link_handshakes.Add();
      return;
    }
    if (counters.idle_links_opened.value() >= context_->limits.max_idle_links) {
      counters.limit_idle_links.Add();
      return;
    }
    Await(std::make_unique<LinkDial>(context_, *address_, destination_, nullptr));
  }
}

void PeerLinks::Spare(std::unique_ptr<LinkDial> dial) {
  if (!pool_->draining_) Await(std::move(dial));
}

void PeerLinks::Await(std::unique_ptr<LinkDial> dial) {
  dial->Redirect([this, key = dial.get()](auto link) { OnDialled(key, std::move(link)); });
  dials_.push_back(std::move(dial));
}

void PeerLinks::OnDialled(const LinkDial* dial, absl::StatusOr<std::unique_ptr<Link>> link) {
  dials_.erase(std::find_if(dials_.begin(), dials_.end(), [dial](const auto& each) { return each.get() == dial; }));
  if (link.ok()) {
    context_->counters->pooled_handshakes.Add();
    Keep(*std::move(link));
    return Replenish();
  }
  dial_failed_ = true;
  if (link.status().code() == absl::StatusCode::kFailedPrecondition) address_.reset();  // it no longer speaks it
}

// Time and change.

void PeerLinks::Recheck() {
  const auto distrusted = [this](const std::unique_ptr<Link>& link) { return !LinkTrusted(*context_, *link).ok(); };
  for (size_t gone = std::erase_if(idle_, distrusted); gone > 0; --gone) {
    context_->counters->idle_links_opened.Subtract();
  }
  for (size_t gone = std::erase_if(leaving_, distrusted); gone > 0; --gone) {
    context_->counters->links_leaving.Subtract();
  }
}

void PeerLinks::RetireAll() {
  std::vector<std::unique_ptr<Link>> idle = std::exchange(idle_, {});
  for (std::unique_ptr<Link>& link : idle) {
    context_->counters->idle_links_opened.Subtract();
    Retire(std::move(link));
  }
}

bool PeerLinks::Tick() {
  demand_before_ = std::exchange(demand_, 0);
  dial_failed_ = false;
  const absl::Duration now = context_->loop->now();
  const absl::Duration most = context_->limits.idle_link_timeout;
  for (size_t i = 0; i < idle_.size();) {  // those that have waited longest first
    const bool surplus = idle_.size() > kSteadyIdleLinks;
    const bool aged = now - idle_[i]->idle_since() >= (surplus ? most / 6 : most);
    if (!aged && LinkHolds(*context_, *idle_[i]).ok()) {
      ++i;
      continue;
    }
    std::unique_ptr<Link> old = std::move(idle_[i]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    context_->counters->idle_links_opened.Subtract();
    Retire(std::move(old));
  }
  return !idle_.empty() || !leaving_.empty() || !dials_.empty() || demand_before_ != 0 || is_plain();
}

LinkPool::~LinkPool() = default;

std::shared_ptr<PeerLinks> LinkPool::To(const std::string& destination) {
  std::shared_ptr<PeerLinks>& links = peers_[destination];
  if (links == nullptr) links = std::make_shared<PeerLinks>(this, destination);
  if (!tick_.running()) tick_.Start(kTick);
  return links;
}

void LinkPool::BoundLeaving(PeerLinks* newest) {
  const ConnectionLimits& limits = context_->limits;
  if (newest->leaving_.size() > limits.max_idle_links_per_destination) newest->CloseOneThatLeaves();
  if (context_->counters->links_leaving.value() <= limits.max_idle_links) return;
  PeerLinks* most = newest;
  for (const auto& [destination, links] : peers_) {
    if (links->leaving_.size() > most->leaving_.size()) most = links.get();
  }
  most->CloseOneThatLeaves();
}

void LinkPool::OnViewChange(const ViewChange& change) {
  const bool rules = change.routes || !change.listeners.empty();
  for (const auto& [destination, links] : peers_) {
    if (change.own_svid || change.identity_withdrawn || rules || change.TouchesConnections()) links->RetireAll();
    links->Recheck();
  }
}

void LinkPool::Drain() {
  draining_ = true;
  for (const auto& [destination, links] : peers_) links->RetireAll();
}

bool LinkPool::empty() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second->empty(); });
}

void LinkPool::Tick() {
  absl::erase_if(peers_, [](const auto& entry) { return !entry.second->Tick() && entry.second.use_count() == 1; });
  if (!peers_.empty()) tick_.Start(kTick);
}

}  // namespace lanyard
