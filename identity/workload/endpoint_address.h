// Where the Workload API is. Private to identity/workload.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// gRPC's target for a Workload Endpoint URI (section 4 of that standard): "unix:///path" (also "unix:/path")
// or "tcp://IP:port" and nothing more.
absl::StatusOr<std::string> GrpcTargetOf(absl::string_view uri);

}  // namespace lanyard
