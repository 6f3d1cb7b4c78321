#include "identity/cli/warnings.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/policy/policy.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {
namespace {

const AgentRecord* Find(const std::string& spiffe_id, const std::vector<AgentRecord>& agents) {
  const auto found = std::find_if(agents.begin(), agents.end(),
                                  [&](const AgentRecord& agent) { return agent.spiffe_id == spiffe_id; });
  return found == agents.end() ? nullptr : &*found;
}

bool SomeEntryGives(const PeerPattern& pattern, const std::vector<EntryRecord>& entries) {
  return std::any_of(entries.begin(), entries.end(), [&](const EntryRecord& entry) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(entry.spiffe_id);
    return id.ok() && pattern.Matches(*id);
  });
}

void AddIfForeign(absl::string_view kind, const std::string& name, const std::vector<PeerPattern>& workloads,
                  const std::string& trust_domain, std::vector<std::string>& warnings) {
  const std::string prefix = absl::StrCat("spiffe://", trust_domain, "/");
  for (const PeerPattern& workload : workloads) {
    if (absl::StartsWith(workload.ToString(), prefix)) return;
  }
  warnings.push_back(absl::StrCat(kind, " ", name, " names no workload of ", trust_domain,
                                  ", the authority's trust domain, so that nobody ever gets it: see how ",
                                  workloads.empty() ? "" : workloads.front().ToString(), " is written"));
}

}  // namespace

std::string WarningOfBan(const BanSubject& subject, const std::vector<EntryRecord>& entries,
                         const std::vector<AgentRecord>& agents) {
  if (subject.kind() == BanSubject::Kind::kSerial) return "";
  if (subject.kind() == BanSubject::Kind::kAgent) {
    if (Find(subject.text(), agents) != nullptr) return "";
    return absl::StrCat("the ban is in force, but no agent ", subject.text(),
                        " has joined: see `lanyard agent list` for how it is written");
  }
  const absl::StatusOr<PeerPattern> pattern = PeerPattern::Parse(subject.text());
  if (!pattern.ok() || SomeEntryGives(*pattern, entries)) return "";
  return absl::StrCat("the ban is in force, but no entry gives anybody ", subject.text(),
                      ": see `lanyard entry list` for how it is written");
}

std::string WarningOfParent(const std::string& parent_id, const std::vector<AgentRecord>& agents) {
  if (parent_id.empty() || Find(parent_id, agents) != nullptr) return "";
  return absl::StrCat("no agent ", parent_id, " has joined yet: until one does, this entry gives nobody an identity "
                      "(see `lanyard agent list`)");
}

std::vector<std::string> WarningsOfRules(const RulesFile& rules, const std::string& trust_domain) {
  std::vector<std::string> warnings;
  for (const WorkloadPolicy& policy : rules.policies) {
    AddIfForeign("policy", policy.name, policy.workloads, trust_domain, warnings);
  }
  for (const WorkloadRoutes& set : rules.routes) {
    AddIfForeign("route set", set.name, set.workloads, trust_domain, warnings);
  }
  return warnings;
}

std::string WarningOfToken(const std::string& agent_id, const std::vector<AgentRecord>& agents) {
  const AgentRecord* const agent = Find(agent_id, agents);
  if (agent == nullptr || !agent->connected) return "";
  return absl::StrCat(agent_id, " is connected now: whoever joins by this token becomes that agent as well");
}

}  // namespace lanyard
