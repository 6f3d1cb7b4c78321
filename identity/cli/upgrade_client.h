// Asks a running proxy, at its Unix socket, to start another one in its place.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lanyard {

struct UpgradeOrder {
  std::string binary;  // empty: as it was started
  std::string config;  // empty: as it was started
  absl::Duration timeout;
};

// Blocks until the new proxy serves; its pid. Unavailable when nobody answers at `socket`; FailedPrecondition says why
// the old one goes on.
absl::StatusOr<pid_t> UpgradeProxy(const std::string& socket, const UpgradeOrder& order);

// The socket in the answer of the admin address's /upgrade. An error says how the proxy gets one.
absl::StatusOr<std::string> UpgradeSocketOf(const std::string& page);

}  // namespace lanyard
