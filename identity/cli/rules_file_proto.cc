#include "identity/cli/rules_file_proto.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "api/lanyard/config/rules_file.pb.h"
#include "identity/cli/input.h"
#include "identity/config/config_file.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

RulesFile Check(const config::RulesFile& file, ConfigProblems& problems) {
  RulesFile rules;
  std::set<std::string> policy_names, route_names;
  for (int i = 0; i < file.policies_size(); ++i) {
    const config::Policy& policy = file.policies(i);
    rules.policies.push_back(WorkloadPolicyFromProto(absl::StrCat("policies[", i, "]"),
                                                     {policy.name(), policy.workloads()}, policy.rules(), policy_names,
                                                     problems));
  }
  for (int i = 0; i < file.routes_size(); ++i) {
    const config::RouteSet& set = file.routes(i);
    rules.routes.push_back(WorkloadRoutesFromProto(absl::StrCat("routes[", i, "]"), {set.name(), set.workloads()},
                                                   set.routes(), route_names, problems));
    rules.routes.back().order = set.order();
  }
  if (file.policies().empty() && file.routes().empty()) {
    problems.Add("", "it holds nothing to apply: write a list of policies, of routes, or both");
  }
  return rules;
}

}  // namespace

absl::StatusOr<RulesFile> LoadRulesFile(const std::string& path, FILE* standard_input) {
  const absl::StatusOr<std::string> text = ReadInput(path, kConfigSizeLimitBytes, standard_input);
  if (!text.ok()) return text.status();
  ConfigProblems problems;
  config::RulesFile message;
  ParseConfig(*text, message, problems);
  RulesFile rules = Check(message, problems);
  if (!problems.empty()) return problems.ToStatus(InputName(path));
  return rules;
}

}  // namespace lanyard
