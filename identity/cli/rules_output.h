// Policies, routes and bans as JSON and as tables: for every command that shows them.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/output.h"
#include "nlohmann/json_fwd.hpp"

namespace lanyard {

// As `lanyard policy apply -f` reads it.
nlohmann::ordered_json ToJson(const ListedPolicy& listed);
nlohmann::ordered_json ToJson(const ListedRoutes& listed);
nlohmann::ordered_json ToJson(const Ban& ban);

void ShowPolicies(const std::vector<ListedPolicy>& policies, absl::Time now, Output& output);
void ShowRoutes(const std::vector<ListedRoutes>& sets, absl::Time now, Output& output);
void ShowBans(const std::vector<Ban>& bans, absl::Time now, Output& output);
void ShowApplied(const std::vector<AppliedRecord>& applied, bool dry_run, Output& output);

}  // namespace lanyard
