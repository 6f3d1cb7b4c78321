// A file of policies and routes, for `lanyard policy apply` and `lanyard route apply` (api/lanyard/config/rules_file).
#pragma once

#include <stdio.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/policy/workload_rules.h"

namespace lanyard {

struct RulesFile {
  std::vector<WorkloadPolicy> policies;
  std::vector<WorkloadRoutes> routes;
};

// Reads and checks the whole file, or `standard_input` (borrowed) for "-": InvalidArgument lists every mistake, each
// with its path, the value and the remedy.
absl::StatusOr<RulesFile> LoadRulesFile(const std::string& path, FILE* standard_input = stdin);

}  // namespace lanyard
