#include "identity/authority/node_state_proto.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "identity/authority/authority_proto.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

namespace v1 = authority::v1;

// Sorted, without doubles: there are as many patterns as policies, and each is looked up here.
using SortedIds = std::vector<absl::string_view>;

bool Matches(const SortedIds& ids, const PeerPattern& pattern) {
  absl::string_view prefix = pattern.ToString();
  const bool wildcard = absl::EndsWith(prefix, "/*");
  if (wildcard) prefix.remove_suffix(1);
  const auto found = std::lower_bound(ids.begin(), ids.end(), prefix);
  return found != ids.end() && (wildcard ? absl::StartsWith(*found, prefix) : *found == prefix);
}

bool MatchesAny(const SortedIds& ids, const std::vector<PeerPattern>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const PeerPattern& p) { return Matches(ids, p); });
}

template <typename Message>
void SetHead(const std::string& name, const std::vector<PeerPattern>& workloads, Message& message) {
  message.set_name(name);
  for (const PeerPattern& workload : workloads) message.add_workloads(workload.ToString());
}

}  // namespace

const v1::NodeState& NodeStateMessage::Update(std::shared_ptr<const RegistrySnapshot> registry,
                                              const MeshSnapshot& mesh, absl::Time now) {
  const bool entries_changed = registry_ != registry;
  const bool rules_changed = rules_ != mesh.rules;
  registry_ = std::move(registry);
  rules_ = mesh.rules;
  if (entries_changed) UpdateEntries();
  if (entries_changed || rules_changed) UpdateRules();
  UpdateBans(mesh, now);
  state_.set_revision(registry_->revision + mesh.version);
  state_.set_mesh_version(mesh.version);
  return state_;
}

void NodeStateMessage::UpdateEntries() {
  state_.clear_entries();
  state_.clear_bundles();
  std::vector<const Entry*> own;
  for (const auto& [id, entry] : registry_->entries) {
    if (entry.IsFor(node_)) own.push_back(&entry);
  }
  // The first that fits is a workload's default identity (Workload API 8): no later entry may take its place.
  std::sort(own.begin(), own.end(), [](const Entry* a, const Entry* b) {
    const absl::Time a_time = a->created_at(), b_time = b->created_at();
    return std::tie(a_time, a->id()) < std::tie(b_time, b->id());
  });
  for (const Entry* entry : own) *state_.add_entries() = EntryToProto(*entry);
  *state_.add_bundles() = BundleToProto(registry_->bundle);
}

void NodeStateMessage::UpdateRules() {
  state_.clear_policies();
  state_.clear_routes();
  SortedIds ids;
  for (const v1::Entry& entry : state_.entries()) ids.push_back(entry.spiffe_id());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const auto& [name, record] : rules_->policies) {
    if (!MatchesAny(ids, record.policy.workloads)) continue;
    v1::WorkloadPolicy& message = *state_.add_policies();
    SetHead(name, record.policy.workloads, message);
    for (const PolicyRule& rule : record.policy.rules) *message.add_rules() = ToProto(rule);
  }
  std::vector<WorkloadRoutes> sets;
  for (const auto& [name, record] : rules_->routes) {
    if (MatchesAny(ids, record.routes.workloads)) sets.push_back(record.routes);
  }
  SortRoutes(sets);
  for (const WorkloadRoutes& set : sets) {
    v1::WorkloadRoutes& message = *state_.add_routes();
    SetHead(set.name, set.workloads, message);
    for (const Route& route : set.routes) *message.add_routes() = ToProto(route);
  }
}

void NodeStateMessage::UpdateBans(const MeshSnapshot& mesh, absl::Time now) {
  state_.clear_bans();
  for (const Ban& ban : mesh.bans->all()) {
    if (ban.expires_at > now) *state_.add_bans() = ToProto(ban);
  }
  for (const auto& [agent, serials] : *mesh.issued) {
    for (const Ban& ban : serials) {
      if (ban.expires_at > now) *state_.add_bans() = ToProto(ban);
    }
  }
}

}  // namespace lanyard
