// The proxy's admin address, from the command line.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/cli/findings.h"

namespace lanyard {

// `address` is "127.0.0.1:15000" or "[::1]:15000"; `target` a path with its query: "/ready". Unavailable when nobody
// answers in HTTP within the timeout, ResourceExhausted where the answer is larger than one of a proxy can be.
absl::StatusOr<AdminAnswer> GetAdminPage(const std::string& address, const std::string& target, absl::Duration timeout);

// Calls `on_line` for each line of a page that goes on, until it returns false (OK) or the other side ends
// (Unavailable; InvalidArgument for code 400, else FailedPrecondition, with what it says when it refuses). `timeout` is
// for the answer to begin.
absl::Status StreamAdminPage(const std::string& address, const std::string& target, absl::Duration timeout,
                             const std::function<bool(absl::string_view line)>& on_line);

// For a query: everything but letters, digits and -._~ as %XX (RFC 3986 section 2.1).
std::string QueryEscaped(absl::string_view text);

}  // namespace lanyard
