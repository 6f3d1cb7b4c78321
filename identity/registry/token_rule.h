// When a join token may be traded for a node: one rule for every store.
#pragma once

#include "absl/status/status.h"
#include "identity/registry/records.h"

namespace lanyard {

// PermissionDenied, with the remedy, unless `token` is unused, not expired at `node.attested_at` and
// made for `node.id`.
absl::Status CheckJoinToken(const JoinToken& token, const Node& node);
absl::Status CheckJoinTokenUsable(const JoinToken& token, absl::Time now);
absl::Status UnknownJoinToken();

}  // namespace lanyard
