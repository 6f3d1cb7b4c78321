#include "identity/agent/svid_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

constexpr BackoffOptions kRetry = {.initial = absl::Milliseconds(200), .max = absl::Seconds(30), .factor = 2.0};

// Where the SVID itself would have to be another.
bool NeedsNewSvid(const WorkloadEntry& before, const WorkloadEntry& now) {
  return before.spiffe_id != now.spiffe_id || before.x509_svid_ttl_seconds != now.x509_svid_ttl_seconds ||
         before.dns_names != now.dns_names;
}

// What cannot be read says nothing. Nor does an authority that knows no mesh: it must not lift the bans that another
// one, newer, has made. A registry that was made anew does.
bool SaysMoreOfTheMesh(const NodeMesh* before, const NodeMesh* now) {
  return now != nullptr && (before == nullptr || now->version > 0);
}

}  // namespace

SvidCache::SvidCache(TrustDomain trust_domain, const Clock& clock, Random& random)
    : trust_domain_(std::move(trust_domain)), clock_(clock), random_(random) {}

void SvidCache::SetState(NodeState state) {
  Replace(std::move(state));
  on_change_();
}

void SvidCache::LeaveOut(std::vector<WorkloadEntry>& entries) {
  left_out_ = entries.size() - std::min(entries.size(), kMaxEntries);
  if (left_out_ == 0) return;
  const auto is_here = [this](const WorkloadEntry& entry) { return identities_.contains(entry.id); };
  const size_t here = static_cast<size_t>(std::count_if(entries.begin(), entries.end(), is_here));
  size_t room = kMaxEntries - std::min(here, kMaxEntries);
  std::erase_if(entries, [&](const WorkloadEntry& entry) {
    if (is_here(entry)) return false;
    if (room == 0) return true;
    --room;
    return false;
  });
}

void SvidCache::Replace(NodeState state) {
  absl::MutexLock lock(&mutex_);
  LeaveOut(state.entries);
  std::map<std::string, Identity> before = std::move(identities_);
  identities_.clear();
  order_.clear();
  for (WorkloadEntry& given : state.entries) {
    auto entry = std::make_shared<const WorkloadEntry>(std::move(given));
    auto known = before.extract(entry->id);
    if (known.empty()) {
      identities_.emplace(entry->id, NewIdentity(entry));
    } else {
      Change(known.mapped(), entry);
      identities_.insert(std::move(known));
    }
    order_.push_back(entry->id);
  }
  revision_ = state.revision;
  const bool bundles_changed = bundles_ != state.bundles;
  bundles_ = std::move(state.bundles);
  whole_ = state.whole;
  if (SaysMoreOfTheMesh(mesh_.get(), state.mesh.get())) mesh_ = std::move(state.mesh);
  if (bundles_changed) DropUnverifiable();
  DropBanned();
  MakeView();
}

SvidCache::Identity SvidCache::NewIdentity(std::shared_ptr<const WorkloadEntry> entry) {
  return Identity{.entry = std::move(entry),
                  .svid = std::nullopt,
                  .obtained_at = absl::InfinitePast(),
                  .planned_at = clock_.Now(),
                  .due = clock_.Now(),
                  .generation = ++generations_,
                  .taken = false,
                  .phase = kEarliestPhase + random_.Uniform() * (kLatestPhase - kEarliestPhase),
                  .backoff = Backoff(kRetry, random_)};
}

void SvidCache::Change(Identity& identity, std::shared_ptr<const WorkloadEntry> entry) {
  if (NeedsNewSvid(*identity.entry, *entry)) {
    if (identity.entry->spiffe_id != entry->spiffe_id) identity.svid.reset();
    Plan(identity, clock_.Now());
    identity.failed = false;
    identity.generation = ++generations_;
    identity.backoff.Reset();
  }
  identity.entry = std::move(entry);
}

void SvidCache::Drop(Identity& identity) {
  identity.svid.reset();
  identity.planned_at = identity.due = clock_.Now();
}

// A peer with the new bundles would refuse these: handing them out only hides that.
void SvidCache::DropUnverifiable() {
  const absl::Time now = clock_.Now();
  for (auto& [id, identity] : identities_) {
    if (!identity.svid.has_value() || VerifySvid(identity.svid->chain(), bundles_, now).ok()) continue;
    Drop(identity);
  }
}

// Of one SVID, not of its ID: its workload gets another.
void SvidCache::DropBanned() {
  if (mesh_ == nullptr || mesh_->ban_set.all().empty()) return;
  const absl::Time now = clock_.Now();
  for (auto& [id, identity] : identities_) {
    if (!identity.svid.has_value()) continue;
    if (mesh_->ban_set.FindSerial(identity.svid->leaf().serial(), now) != nullptr) Drop(identity);
  }
}

void SvidCache::Restore(KeptWorkloads kept) {
  Replace(std::move(kept.state));
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_.Now();
    for (KeptSvid& one : kept.svids) {
      const auto found = identities_.find(one.entry_id);
      if (found == identities_.end() || found->second.entry->spiffe_id != one.svid.id()) continue;
      if (!VerifySvid(one.svid.chain(), bundles_, now).ok()) continue;
      Hold(found->second, std::move(one.svid), one.obtained_at);
    }
    DropBanned();
    MakeView();
  }
  on_change_();
}

size_t SvidCache::left_out() const {
  absl::MutexLock lock(&mutex_);
  return left_out_;
}

KeptWorkloads SvidCache::Keep() const {
  absl::MutexLock lock(&mutex_);
  KeptWorkloads kept;
  kept.state.revision = revision_;
  kept.state.bundles = bundles_;
  kept.state.mesh = mesh_;
  for (const std::string& id : order_) {
    const Identity& identity = identities_.at(id);
    kept.state.entries.push_back(*identity.entry);
    if (identity.svid.has_value()) kept.svids.push_back({id, *identity.svid, identity.obtained_at});
  }
  return kept;
}

std::vector<SvidCache::Task> SvidCache::TakeDue(size_t max) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  std::vector<Identity*> due;
  for (auto& [id, identity] : identities_) {
    // A wall clock that was set back must not leave an SVID standing that is not valid yet, nor a retry that was
    // planned for a time far ahead.
    const bool is_due = identity.due <= now || now < identity.planned_at;
    if (!identity.taken && is_due) due.push_back(&identity);
  }
  const auto end_of = [](const Identity* i) { return i->svid ? i->svid->not_after() : absl::InfinitePast(); };
  std::stable_sort(due.begin(), due.end(), [&](const auto* a, const auto* b) { return end_of(a) < end_of(b); });
  if (due.size() > max) due.resize(max);
  std::vector<Task> tasks;
  for (Identity* identity : due) {
    identity->taken = true;
    tasks.push_back({identity->entry, identity->generation});
  }
  return tasks;
}

absl::Time SvidCache::NextDue() const {
  absl::MutexLock lock(&mutex_);
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [id, identity] : identities_) {
    if (!identity.taken) next = std::min(next, identity.due);
  }
  return next;
}

SvidCache::Identity* SvidCache::Find(const Task& task) {
  const auto found = identities_.find(task.entry->id);
  if (found == identities_.end() || found->second.generation != task.generation) return nullptr;
  return &found->second;
}

absl::Status SvidCache::Succeed(const Task& task, X509Svid svid) {
  absl::Status refused;
  if (svid.id() != task.entry->spiffe_id) {
    refused = absl::InvalidArgumentError(absl::StrCat("the authority signed ", svid.id().ToString(),
                                                      " for the entry of ", task.entry->spiffe_id.ToString()));
  }
  {
    absl::MutexLock lock(&mutex_);
    Identity* identity = Find(task);
    if (identity == nullptr) return absl::OkStatus();
    if (refused.ok()) refused = VerifySvid(svid.chain(), bundles_, clock_.Now()).status();
    if (refused.ok()) {
      identity->backoff.Reset();
      Hold(*identity, std::move(svid), clock_.Now());
    }
  }
  if (!refused.ok()) Fail(task);
  return refused;
}

void SvidCache::Publish() {
  {
    absl::MutexLock lock(&mutex_);
    if (!unseen_) return;
    MakeView();
  }
  on_change_();
}

void SvidCache::Plan(Identity& identity, absl::Time due) {
  identity.planned_at = clock_.Now();
  identity.due = due;
  identity.taken = false;
}

void SvidCache::Hold(Identity& identity, X509Svid svid, absl::Time obtained_at) {
  identity.obtained_at = obtained_at;
  Plan(identity, obtained_at + (svid.not_after() - obtained_at) * identity.phase);
  identity.failed = false;
  identity.svid = std::move(svid);
  unseen_ = true;
}

void SvidCache::Fail(const Task& task) {
  absl::MutexLock lock(&mutex_);
  Identity* identity = Find(task);
  if (identity == nullptr) return;
  absl::Duration wait = identity->backoff.Next();
  if (identity->svid.has_value()) {
    const absl::Duration lifetime = identity->svid->not_after() - identity->obtained_at;
    wait = std::min(wait, std::max(kRetry.initial, lifetime / 10));
  }
  Plan(*identity, clock_.Now() + wait);
  unseen_ |= !std::exchange(identity->failed, true);
}

std::shared_ptr<const WorkloadView> SvidCache::view() const {
  absl::MutexLock lock(&mutex_);
  return view_;
}

absl::Duration SvidCache::ShortestLifetime() const {
  absl::MutexLock lock(&mutex_);
  absl::Duration shortest = absl::InfiniteDuration();
  for (const auto& [id, identity] : identities_) {
    if (identity.svid.has_value()) shortest = std::min(shortest, identity.svid->not_after() - identity.obtained_at);
  }
  return shortest;
}

void SvidCache::MakeView() {
  auto view = std::make_shared<WorkloadView>(WorkloadView{.version = view_ == nullptr ? 1 : view_->version + 1,
                                                          .trust_domain = trust_domain_,
                                                          .items = {},
                                                          .bundles = bundles_,
                                                          .mesh = mesh_,
                                                          .whole = whole_});
  view->items.reserve(order_.size());
  for (const std::string& id : order_) {
    const Identity& identity = identities_.at(id);
    view->items.push_back({identity.entry, identity.svid, identity.failed});
  }
  view_ = std::move(view);
  unseen_ = false;
}

}  // namespace lanyard
