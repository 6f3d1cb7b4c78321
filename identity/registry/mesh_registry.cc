#include "identity/registry/mesh_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/registry/entry.h"

namespace lanyard {
namespace {

using What = ApplyOutcome::What;
using Kind = ApplyOutcome::Kind;

absl::Status Full(size_t limit, absl::string_view what) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the registry holds ", limit, " ", what, ", its limit; delete some first"));
}

// One of a kind: what becomes of `content` beside the record of its name, if there is one.
template <typename Record, typename Content>
ApplyOutcome OutcomeOf(Kind kind, const std::map<std::string, Record>& records, const Content& content,
                       Content Record::*field, uint64_t next_version) {
  const auto found = records.find(content.name);
  if (found == records.end()) return {kind, content.name, What::kCreated, next_version};
  if (found->second.*field == content) return {kind, content.name, What::kUnchanged, found->second.version};
  return {kind, content.name, What::kChanged, next_version};
}

template <typename Records>
absl::Status CheckThere(const Records& records, const std::vector<std::string>& names, absl::string_view kind) {
  for (const std::string& name : names) {
    if (!records.contains(name)) return absl::NotFoundError(absl::StrCat("there is no ", kind, " named ", name));
  }
  return absl::OkStatus();
}

absl::Status Refused(const Ban& ban) { return absl::PermissionDeniedError(ban.Explanation()); }

// Of a ban in a message, beside its texts: two times, and what frames the fields.
constexpr size_t kBanFramingBytes = 40;

size_t SizeBytes(const std::vector<Ban>& bans) {
  size_t size = 0;
  for (const Ban& ban : bans) size += BanSizeBytes(ban);
  return size;
}

// Of what operators said alone: what agents had signed must not keep anybody from being banned.
absl::Status CheckSize(const BanSet& bans) {
  const size_t size = SizeBytes(bans.all());
  if (size <= MeshRegistry::kMaxBansBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "with this one the bans would take ", size, " bytes of each message to an agent, more than ",
      MeshRegistry::kMaxBansBytes, "; unban some first, write shorter reasons, or ban all IDs below a path at once"));
}

// Room for what is named of SVIDs that were issued.
struct Room {
  size_t count;
  size_t size_bytes;
};

// Leaves as many as `room` and takes their part of it; those that live longest stay. How many went.
size_t Trim(std::vector<Ban>& serials, Room room, Room& left) {
  size_t size = SizeBytes(serials);
  const size_t before = serials.size();
  if (before > room.count || size > room.size_bytes) {
    std::stable_sort(serials.begin(), serials.end(),
                     [](const Ban& a, const Ban& b) { return a.expires_at > b.expires_at; });
    while (serials.size() > room.count || size > room.size_bytes) {
      size -= BanSizeBytes(serials.back());
      serials.pop_back();
    }
  }
  left.count -= serials.size();
  left.size_bytes -= size;
  return before - serials.size();
}

// Into what the operators' bans leave: the agents with the fewest first, each with an equal share of what then is left.
size_t TrimAll(const BanSet& bans, IssuedBans& issued) {
  const size_t taken = std::min(SizeBytes(bans.all()), MeshRegistry::kMaxBansBytes);
  Room left{MeshRegistry::kMaxIssuedBans, MeshRegistry::kMaxBansBytes - taken};
  std::vector<std::vector<Ban>*> fewest_first;
  for (auto& [agent, serials] : issued) fewest_first.push_back(&serials);
  std::stable_sort(fewest_first.begin(), fewest_first.end(),
                   [](const auto* a, const auto* b) { return a->size() < b->size(); });
  size_t unnamed = 0, agents = fewest_first.size();
  for (std::vector<Ban>* serials : fewest_first) {
    unnamed += Trim(*serials, {left.count / agents, left.size_bytes / agents}, left);
    --agents;
  }
  return unnamed;
}

std::vector<Ban> Without(const std::vector<Ban>& bans, const BanSubject& subject) {
  std::vector<Ban> rest = bans;
  std::erase_if(rest, [&](const Ban& ban) { return ban.subject == subject; });
  return rest;
}

}  // namespace

size_t BanSizeBytes(const Ban& ban) { return ban.subject.text().size() + ban.reason.size() + kBanFramingBytes; }

absl::StatusOr<std::unique_ptr<MeshRegistry>> MeshRegistry::Open(TrustDomain trust_domain, Store& store,
                                                                 const Clock& clock) {
  std::unique_ptr<MeshRegistry> registry(new MeshRegistry(std::move(trust_domain), store, clock));
  if (absl::Status loaded = registry->Load(); !loaded.ok()) return loaded;
  return registry;
}

absl::Status MeshRegistry::Load() {
  absl::StatusOr<MeshRecords> records = store_.ListMeshRecords();
  if (!records.ok()) return records.status();
  MeshSnapshot first;
  // An agent takes version 0 for an authority that knows no mesh, and keeps what another one said. A registry that was
  // made anew knows one: that of no bans.
  first.version = std::max<uint64_t>(records->version, 1);
  first.rules = std::make_shared<const RuleRecords>(std::move(records->rules));
  first.bans = std::make_shared<const BanSet>(std::move(records->bans));
  if (absl::Status named = NameIssued({}, first); !named.ok()) return named;
  Publish(std::move(first));
  return absl::OkStatus();
}

std::shared_ptr<const MeshSnapshot> MeshRegistry::snapshot() const {
  std::lock_guard<std::mutex> lock(snapshot_mutex_);
  return snapshot_;
}

void MeshRegistry::Publish(MeshSnapshot next) {
  auto published = std::make_shared<const MeshSnapshot>(std::move(next));
  std::lock_guard<std::mutex> lock(snapshot_mutex_);
  snapshot_ = std::move(published);
}

absl::Time MeshRegistry::Now() const { return absl::FromUnixMicros(absl::ToUnixMicros(clock_.Now())); }

absl::StatusOr<std::vector<ApplyOutcome>> MeshRegistry::Apply(std::vector<WorkloadPolicy> policies,
                                                              std::vector<WorkloadRoutes> routes, bool dry_run) {
  std::vector<ApplyOutcome> outcomes;
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    MeshSnapshot next = *snapshot();
    const absl::Time now = Now();
    RuleRecords rules = *next.rules;
    MeshChange change{.version = next.version + 1};
    for (WorkloadPolicy& policy : policies) {
      outcomes.push_back(OutcomeOf(Kind::kPolicy, rules.policies, policy, &PolicyRecord::policy, change.version));
      if (outcomes.back().what == What::kUnchanged) continue;
      change.put_policies.push_back({std::move(policy), change.version, now});
      rules.policies.insert_or_assign(change.put_policies.back().policy.name, change.put_policies.back());
    }
    for (WorkloadRoutes& set : routes) {
      outcomes.push_back(OutcomeOf(Kind::kRoute, rules.routes, set, &RoutesRecord::routes, change.version));
      if (outcomes.back().what == What::kUnchanged) continue;
      change.put_routes.push_back({std::move(set), change.version, now});
      rules.routes.insert_or_assign(change.put_routes.back().routes.name, change.put_routes.back());
    }
    if (rules.policies.size() > kMaxPolicies) return Full(kMaxPolicies, "policies");
    if (rules.routes.size() > kMaxRouteSets) return Full(kMaxRouteSets, "route sets");
    if (dry_run || (change.put_policies.empty() && change.put_routes.empty())) return outcomes;
    if (absl::Status stored = store_.ChangeMesh(change); !stored.ok()) return stored;
    next.version = change.version;
    next.rules = std::make_shared<const RuleRecords>(std::move(rules));
    Publish(std::move(next));
  }
  if (on_change_) on_change_();
  return outcomes;
}

absl::Status MeshRegistry::Delete(const std::vector<std::string>& policies, const std::vector<std::string>& routes) {
  if (policies.empty() && routes.empty()) return absl::OkStatus();
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    MeshSnapshot next = *snapshot();
    if (absl::Status there = CheckThere(next.rules->policies, policies, "policy"); !there.ok()) return there;
    if (absl::Status there = CheckThere(next.rules->routes, routes, "route set"); !there.ok()) return there;
    const MeshChange change{.version = next.version + 1, .delete_policies = policies, .delete_routes = routes};
    if (absl::Status stored = store_.ChangeMesh(change); !stored.ok()) return stored;
    RuleRecords rules = *next.rules;
    for (const std::string& name : policies) rules.policies.erase(name);
    for (const std::string& name : routes) rules.routes.erase(name);
    next.version = change.version;
    next.rules = std::make_shared<const RuleRecords>(std::move(rules));
    Publish(std::move(next));
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

absl::Status MeshRegistry::CheckSubject(const BanSubject& subject) const {
  const std::string reserved = absl::StrCat(trust_domain_.IdString(), kReservedPath);
  if (subject.kind() == BanSubject::Kind::kSpiffeId && absl::StartsWith(subject.text(), reserved)) {
    return absl::InvalidArgumentError(
        absl::StrCat(subject.text(), " is the authority's own or an agent's; to shut out an agent, write agent:",
                     trust_domain_.IdString(), kAgentPath, "NODE"));
  }
  if (subject.kind() != BanSubject::Kind::kAgent) return absl::OkStatus();
  const absl::StatusOr<SpiffeId> agent = SpiffeId::Parse(subject.text());
  if (!agent.ok()) return agent.status();
  if (agent->trust_domain() == trust_domain_ && IsAgentId(*agent)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(subject.text(), " is not an agent of this authority; write agent:",
                                                 trust_domain_.IdString(), kAgentPath, "NODE"));
}

absl::StatusOr<std::vector<Ban>> MeshRegistry::IssuedThrough(const SpiffeId& agent, const Ban& ban,
                                                             absl::Time now) const {
  absl::StatusOr<std::vector<Issuance>> stored = store_.ListIssuances(agent, now);
  if (!stored.ok()) return stored.status();
  std::copy_if(unrecorded_.begin(), unrecorded_.end(), std::back_inserter(*stored),
               [&](const Issuance& issuance) { return issuance.agent == agent && issuance.not_after > now; });
  std::vector<Ban> serials;
  for (const Issuance& issuance : *stored) {
    absl::StatusOr<BanSubject> serial = BanSubject::Parse(absl::StrCat("serial:", issuance.serial));
    if (!serial.ok()) return serial.status();
    serials.push_back({*std::move(serial), "", ban.created_at, std::min(ban.expires_at, issuance.not_after)});
  }
  return serials;
}

absl::Status MeshRegistry::NameIssued(const IssuedBans& known, MeshSnapshot& next) const {
  const absl::Time now = Now();
  IssuedBans issued;
  for (const Ban& ban : next.bans->all()) {
    if (ban.subject.kind() != BanSubject::Kind::kAgent || ban.expires_at <= now) continue;
    const absl::StatusOr<SpiffeId> agent = SpiffeId::Parse(ban.subject.text());
    if (!agent.ok()) return agent.status();
    std::vector<Ban>& serials = issued[*agent];
    if (const auto before = known.find(*agent); before != known.end()) {
      // Nothing was issued through it since.
      serials = before->second;
      std::erase_if(serials, [&](const Ban& serial) { return serial.expires_at <= now; });
    } else {
      absl::StatusOr<std::vector<Ban>> through = IssuedThrough(*agent, ban, now);
      if (!through.ok()) return through.status();
      serials = *std::move(through);
    }
  }
  next.unnamed = TrimAll(*next.bans, issued);
  next.issued = std::make_shared<const IssuedBans>(std::move(issued));
  if (next.unnamed > 0) {
    Log(LogLevel::kError,
        "more SVIDs were issued through banned agents than can be named: who holds one of the others is let in until "
        "it ends; ban the workloads' SPIFFE IDs too",
        {{"not_named", static_cast<int64_t>(next.unnamed)}, {"named_at_most", static_cast<int64_t>(kMaxIssuedBans)}});
  }
  return absl::OkStatus();
}

absl::Status MeshRegistry::ChangeBans(MeshChange change, std::vector<Ban> bans) {
  MeshSnapshot next = *snapshot();
  next.version = ++change.version;
  next.bans = std::make_shared<const BanSet>(std::move(bans));
  IssuedBans known = *next.issued;
  // A ban that was replaced ends at another time: what it means is found anew.
  for (const Ban& ban : change.put_bans) {
    std::erase_if(known, [&](const auto& item) { return item.first.ToString() == ban.subject.text(); });
  }
  // What was left out may have room now.
  if (next.unnamed > 0) known.clear();
  if (absl::Status named = NameIssued(known, next); !named.ok()) return named;
  // Taking bans away is never refused.
  if (absl::Status fits = CheckSize(*next.bans); !fits.ok() && !change.put_bans.empty()) return fits;
  if (absl::Status stored = store_.ChangeMesh(change); !stored.ok()) return stored;
  Publish(std::move(next));
  return absl::OkStatus();
}

absl::StatusOr<MeshRegistry::Banned> MeshRegistry::AddBan(BanSubject subject, std::string reason,
                                                          absl::Duration length) {
  if (absl::Status fits = CheckSubject(subject); !fits.ok()) return fits;
  if (length < absl::ZeroDuration() || length > kMaxBan) {
    return absl::InvalidArgumentError(absl::StrCat("a ban of ", absl::FormatDuration(length),
                                                   " is not possible; write 1s to ", absl::FormatDuration(kMaxBan),
                                                   ", or nothing for one until unbanned"));
  }
  Banned banned{{std::move(subject), std::move(reason), Now()}, 0};
  if (length > absl::ZeroDuration()) banned.ban.expires_at = banned.ban.created_at + length;
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    const std::shared_ptr<const MeshSnapshot> current = snapshot();
    const Ban* const before = current->bans->FindSubject(banned.ban.subject, banned.ban.created_at);
    if (before != nullptr) banned.replaced = *before;
    std::vector<Ban> bans = Without(current->bans->all(), banned.ban.subject);
    if (bans.size() >= kMaxBans) return Full(kMaxBans, "bans");
    bans.push_back(banned.ban);
    MeshChange change{.version = current->version, .put_bans = {banned.ban}};
    if (absl::Status changed = ChangeBans(std::move(change), std::move(bans)); !changed.ok()) return changed;
    banned.version = current->version + 1;
  }
  if (on_change_) on_change_();
  return banned;
}

absl::Status MeshRegistry::RemoveBan(const BanSubject& subject) {
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    const std::shared_ptr<const MeshSnapshot> current = snapshot();
    std::vector<Ban> rest = Without(current->bans->all(), subject);
    if (rest.size() == current->bans->all().size()) {
      return absl::NotFoundError(absl::StrCat(subject.ToString(), " is not banned"));
    }
    MeshChange change{.version = current->version, .delete_bans = {subject}};
    if (absl::Status changed = ChangeBans(std::move(change), std::move(rest)); !changed.ok()) return changed;
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

absl::Status MeshRegistry::DropEndedBans() {
  const absl::Time now = Now();
  if (NextBanExpiry() > now) return absl::OkStatus();
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    const std::shared_ptr<const MeshSnapshot> current = snapshot();
    MeshChange change{.version = current->version};
    std::vector<Ban> rest;
    for (const Ban& ban : current->bans->all()) {
      if (ban.expires_at > now) {
        rest.push_back(ban);
      } else {
        change.delete_bans.push_back(ban.subject);
      }
    }
    if (change.delete_bans.empty()) return absl::OkStatus();
    if (absl::Status changed = ChangeBans(change, std::move(rest)); !changed.ok()) return changed;
    for (const BanSubject& subject : change.delete_bans) {
      Log(LogLevel::kInfo, "a ban has ended", {{"subject", subject.ToString()}});
    }
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

absl::Status MeshRegistry::CheckIssuing(const SpiffeId& id) const {
  // Wildcards are for workloads: an agent stays, to hear of the ban.
  if (id.trust_domain() == trust_domain_ && IsAgentId(id)) return CheckAgent(id, "");
  const std::shared_ptr<const MeshSnapshot> current = snapshot();
  const Ban* ban = current->bans->FindId(id, clock_.Now());
  return ban == nullptr ? absl::OkStatus() : Refused(*ban);
}

absl::Status MeshRegistry::CheckAgent(const SpiffeId& agent, absl::string_view serial) const {
  const std::shared_ptr<const MeshSnapshot> current = snapshot();
  const Ban* ban = current->bans->FindAgent(agent, serial, clock_.Now());
  return ban == nullptr ? absl::OkStatus() : Refused(*ban);
}

std::vector<absl::Status> MeshRegistry::RecordIssuances(const std::vector<Issuance>& issuances) {
  std::vector<absl::Status> statuses(issuances.size());
  // A ban waits for this lock: it finds what is recorded here, or is found here.
  std::lock_guard<std::mutex> lock(change_mutex_);
  std::vector<Issuance> batch = unrecorded_;
  for (size_t i = 0; i < issuances.size(); ++i) {
    statuses[i] = CheckAgent(issuances[i].agent, "");
    if (statuses[i].ok()) statuses[i] = CheckIssuing(issuances[i].spiffe_id);
    if (statuses[i].ok()) batch.push_back(issuances[i]);
  }
  if (batch.empty()) return statuses;
  const absl::Status recorded = store_.RecordIssuances(batch, Now());
  if (recorded.ok()) {
    unrecorded_.clear();
    return statuses;
  }
  // A full disk must not end every workload; that nobody could tell what was issued must.
  std::erase_if(batch, [now = Now()](const Issuance& issuance) { return issuance.not_after <= now; });
  if (batch.size() > kMaxUnrecorded) {
    for (absl::Status& status : statuses) {
      status.Update(absl::ResourceExhaustedError(absl::StrCat(
          "the authority could not record the last ", unrecorded_.size(), " SVIDs it issued: ", recorded.message())));
    }
    return statuses;
  }
  Log(LogLevel::kError, "cannot record issued SVIDs; they are kept in memory",
      {{"count", static_cast<int64_t>(batch.size())}, {"reason", recorded}});
  unrecorded_ = std::move(batch);
  return statuses;
}

}  // namespace lanyard
