// One GET of the proxy's admin address.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/cli/findings.h"

namespace lanyard {

// `address` is "127.0.0.1:15000" or "[::1]:15000"; `target` a path with its query: "/ready". Unavailable when nobody
// answers in HTTP within the timeout.
absl::StatusOr<AdminAnswer> GetAdminPage(const std::string& address, const std::string& target, absl::Duration timeout);

}  // namespace lanyard
