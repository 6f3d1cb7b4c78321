// The kernel's packet rules of the current network namespace, through libnftables.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lanyard {

// PermissionDenied without CAP_NET_ADMIN, in a sentence that says nothing was changed.
absl::Status CheckNetworkAdministrator();

// Runs nft commands as one transaction: all of them take effect, or none. PermissionDenied without
// CAP_NET_ADMIN; Internal with the kernel's words otherwise.
absl::Status ApplyNftables(const std::string& script);

// What ApplyNftables would say, without changing anything.
absl::Status TryNftables(const std::string& script);

// What `nft list ruleset` prints, as JSON.
absl::StatusOr<std::string> ListNftablesRuleset();

// What `nft list table TABLE` prints, as JSON with `json`. NotFound when there is no such table.
absl::StatusOr<std::string> ListNftablesTable(const std::string& table, bool json);

}  // namespace lanyard
