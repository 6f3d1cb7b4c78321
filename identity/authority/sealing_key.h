// The 32 bytes that everything secret of the authority is sealed under.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "identity/base/random.h"
#include "identity/base/secret.h"

namespace lanyard {

// Reads the key from `path`. Refused (FailedPrecondition, with the remedy): readable or writable by group or
// others, owned by somebody else than this user or root, not a regular file of exactly 32 bytes, a symbolic
// link. NotFound when there is none.
absl::StatusOr<Secret> ReadSealingKey(const std::string& path);

// Makes a new key file, mode 0600, durable on return. Never replaces one.
absl::StatusOr<Secret> CreateSealingKey(const std::string& path, Random& random);

}  // namespace lanyard
