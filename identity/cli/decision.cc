#include "identity/cli/decision.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lanyard {
namespace {

std::string NameOf(const Call& call) { return call.peer ? call.peer->ToString() : "plaintext"; }

// Why a rule, alone, does not allow the call.
std::string Objection(const PolicyRule& rule, const Call& call) {
  if (!rule.ports.empty() && std::find(rule.ports.begin(), rule.ports.end(), call.port) == rule.ports.end()) {
    return absl::StrCat("it is for ", rule.ports.size() == 1 ? "port " : "ports ", absl::StrJoin(rule.ports, ", "));
  }
  if (!call.peer) return "it does not allow plaintext";
  return rule.peers.empty() ? "it names no peers" : "it does not name this peer";
}

std::vector<ConsideredRule> Consider(const WorkloadPolicy& policy, const Call& call) {
  std::vector<ConsideredRule> considered;
  for (const PolicyRule& rule : policy.rules) {
    const absl::StatusOr<InboundPolicy> alone = InboundPolicy::Create({rule});
    const bool allows = alone.ok() && alone->Decide({call.port, call.peer ? &*call.peer : nullptr}).allowed;
    considered.push_back(
        {policy.name, rule.name, allows, allows ? absl::StrCat("it allows ", NameOf(call)) : Objection(rule, call)});
  }
  return considered;
}

const Ban* BanOn(const BanSet& bans, const Call& call, absl::Time now) {
  if (call.peer) {
    if (const Ban* ban = bans.Find(*call.peer, call.serial, now)) return ban;
  }
  if (call.agent) {
    const absl::StatusOr<BanSubject> subject = BanSubject::Parse(absl::StrCat("agent:", call.agent->ToString()));
    if (!subject.ok()) return nullptr;
    if (const Ban* ban = bans.FindSubject(*subject, now)) return ban;
  }
  // Its proxy has no SVID that a caller would accept.
  return bans.FindId(call.workload, now);
}

}  // namespace

CallDecision Decide(const std::vector<WorkloadPolicy>& policies, const BanSet& bans, const Call& call, absl::Time now) {
  CallDecision decision;
  std::vector<std::string> speaking;
  for (const WorkloadPolicy& policy : policies) {
    if (!SpeaksOf(policy.workloads, {call.workload})) continue;
    speaking.push_back(policy.name);
    for (ConsideredRule& rule : Consider(policy, call)) decision.considered.push_back(std::move(rule));
  }
  const std::string tuple = absl::StrCat(NameOf(call), " to ", call.workload.ToString(), " on port ", call.port);
  if (const Ban* ban = BanOn(bans, call, now)) {
    decision.reason = absl::StrCat("denied: ", ban->Explanation());
    return decision;
  }
  const std::optional<InboundPolicy> inbound = InboundOf(policies, {call.workload});
  if (!inbound) {
    decision.reason = absl::StrCat("denied: no policy of the registry speaks of ", call.workload.ToString(),
                                   "; what its proxy's own configuration allows is not known here");
    return decision;
  }
  const PolicyDecision decided = inbound->Decide({call.port, call.peer ? &*call.peer : nullptr});
  decision.allowed = decided.allowed;
  if (!decided.allowed) {
    decision.reason = absl::StrCat("denied: no rule of ", absl::StrJoin(speaking, ", "), " allows ", tuple);
    return decision;
  }
  const auto allowing = std::find_if(decision.considered.begin(), decision.considered.end(),
                                     [](const ConsideredRule& rule) { return rule.allows; });
  if (allowing != decision.considered.end()) {
    decision.policy = allowing->policy;
    decision.rule = allowing->rule;
  }
  decision.reason = absl::StrCat("allowed: rule ", decided.rule, " allows ", tuple);
  return decision;
}

}  // namespace lanyard
