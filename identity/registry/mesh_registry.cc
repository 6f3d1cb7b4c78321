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

absl::Status CheckSize(const MeshSnapshot& snapshot) {
  size_t size = 0;
  for (const Ban& ban : snapshot.bans->all()) size += BanSizeBytes(ban);
  for (const auto& [agent, serials] : *snapshot.issued) {
    for (const Ban& ban : serials) size += BanSizeBytes(ban);
  }
  if (size <= MeshRegistry::kMaxBansBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "with this one the bans would take ", size, " bytes of each message to an agent, more than ",
      MeshRegistry::kMaxBansBytes, "; unban some first, write shorter reasons, or ban all IDs below a path at once"));
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
  first.version = records->version;
  first.rules = std::make_shared<const RuleRecords>(std::move(records->rules));
  first.bans = std::make_shared<const BanSet>(std::move(records->bans));
  auto issued = IssuedOf(*first.bans, {});
  if (!issued.ok()) return issued.status();
  first.issued = *std::move(issued);
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

absl::StatusOr<std::shared_ptr<const IssuedBans>> MeshRegistry::IssuedOf(const BanSet& bans,
                                                                         const IssuedBans& known) const {
  const absl::Time now = Now();
  IssuedBans issued;
  size_t count = 0;
  for (const Ban& ban : bans.all()) {
    if (ban.subject.kind() != BanSubject::Kind::kAgent || ban.expires_at <= now) continue;
    const absl::StatusOr<SpiffeId> agent = SpiffeId::Parse(ban.subject.text());
    if (!agent.ok()) return agent.status();
    std::vector<Ban>& serials = issued[*agent];
    if (const auto before = known.find(*agent); before != known.end()) {
      // Nothing was issued through it since.
      serials = before->second;
      std::erase_if(serials, [&](const Ban& serial) { return serial.expires_at <= now; });
    } else {
      absl::StatusOr<std::vector<Issuance>> stored = store_.ListIssuances(*agent, now);
      if (!stored.ok()) return stored.status();
      std::copy_if(unrecorded_.begin(), unrecorded_.end(), std::back_inserter(*stored),
                   [&](const Issuance& issuance) { return issuance.agent == *agent && issuance.not_after > now; });
      for (const Issuance& issuance : *stored) {
        absl::StatusOr<BanSubject> serial = BanSubject::Parse(absl::StrCat("serial:", issuance.serial));
        if (!serial.ok()) return serial.status();
        serials.push_back({*std::move(serial), "", ban.created_at, std::min(ban.expires_at, issuance.not_after)});
      }
    }
    count += serials.size();
  }
  if (count > kMaxIssuedBans) {
    return absl::ResourceExhaustedError(absl::StrCat(count, " SVIDs were issued through the banned agents, more than ",
                                                     kMaxIssuedBans,
                                                     " that can be named; ban the workloads' SPIFFE IDs instead"));
  }
  return std::make_shared<const IssuedBans>(std::move(issued));
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
  auto issued = IssuedOf(*next.bans, known);
  if (!issued.ok()) return issued.status();
  next.issued = *std::move(issued);
  // Taking bans away is never refused.
  if (absl::Status fits = CheckSize(next); !fits.ok() && !change.put_bans.empty()) return fits;
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
