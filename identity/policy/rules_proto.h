// The messages of api/lanyard/mesh as values, and back: the one reading of
// rules for proxy.yaml, the registry, the agent and the command line. Every
// function adds its mistakes to `problems`, each with its path, the value and
// the remedy, and goes on, so that all are reported together; what it returns
// counts only if nothing was added. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "api/lanyard/mesh/rules.pb.h"
#include "identity/config/config_problems.h"
#include "identity/policy/ban.h"
#include "identity/policy/policy.h"
#include "identity/policy/route.h"
#include "identity/policy/workload_rules.h"

namespace lanyard {

inline constexpr size_t kMaxRuleNameSizeBytes = 64;
inline constexpr size_t kMaxRulesOfARecord = 1000;  // of a policy, or routes of a set
inline constexpr size_t kMaxValuesOfARule = 1000;   // peers, ports, destinations, and workloads of a record

// Which names rules may have: those that people write, or JoinedName's, where
// rules of several records are one.
enum class RuleNames { kWritten, kJoined };

// `rules` and `routes` stand at `path`: "inbound.rules". No two names may be
// the same, nor one of `taken`.
std::vector<PolicyRule> RulesFromProto(absl::string_view path,
                                       const google::protobuf::RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                       RuleNames names, ConfigProblems &problems);
InboundPolicy InboundPolicyFromProto(absl::string_view path,
                                     const google::protobuf::RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                     RuleNames names, ConfigProblems &problems);
std::vector<Route> RoutesFromProto(absl::string_view path,
                                   const google::protobuf::RepeatedPtrField<mesh::v1::Route> &routes, RuleNames names,
                                   std::set<std::string> taken, ConfigProblems &problems);

// The times are as they stand there; no expires_at is InfiniteFuture.
std::vector<Ban> BansFromProto(absl::string_view path, const google::protobuf::RepeatedPtrField<mesh::v1::Ban> &bans,
                               ConfigProblems &problems);
// The subject alone, whose mistake stands at "<path>.subject".
std::optional<BanSubject> BanSubjectFromProto(absl::string_view path, const mesh::v1::Ban &ban,
                                              ConfigProblems &problems);
void CheckBanReason(absl::string_view path, absl::string_view reason, ConfigProblems &problems);

// A record of the registry, whose message is its own: `path` is that of the
// record, such as "policies[2]"; `seen` are the names of the records before it.
struct RecordHead {
  const std::string &name;
  const google::protobuf::RepeatedPtrField<std::string> &workloads;
};
WorkloadPolicy WorkloadPolicyFromProto(absl::string_view path, const RecordHead &head,
                                       const google::protobuf::RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                       std::set<std::string> &seen, ConfigProblems &problems);
WorkloadRoutes WorkloadRoutesFromProto(absl::string_view path, const RecordHead &head,
                                       const google::protobuf::RepeatedPtrField<mesh::v1::Route> &routes,
                                       std::set<std::string> &seen, ConfigProblems &problems);

// Parts of the above, for messages that hold the same in another shape.
void CheckRuleName(absl::string_view path, absl::string_view name, std::set<std::string> &seen,
                   ConfigProblems &problems);
std::vector<PeerPattern> PeersFromProto(absl::string_view path,
                                        const google::protobuf::RepeatedPtrField<std::string> &texts,
                                        ConfigProblems &problems);
// A rule that allows nobody is a mistake.
void CheckAllowsSomebody(absl::string_view path, bool nobody, ConfigProblems &problems);
// `fallback` for the unspecified action.
RouteAction RouteActionFromProto(mesh::v1::RouteAction action, RouteAction fallback);

mesh::v1::InboundRule ToProto(const PolicyRule &rule);
mesh::v1::Route ToProto(const Route &route);
mesh::v1::Ban ToProto(const Ban &ban);
mesh::v1::Ban ToProto(const BanSubject &subject);

}  // namespace lanyard
