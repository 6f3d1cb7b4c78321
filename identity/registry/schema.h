// The registry's tables, and how an older file becomes a newer one.
#pragma once

#include "absl/status/status.h"
#include "identity/registry/sqlite.h"

namespace lanyard {

// PRAGMA user_version of a file this program writes.
int RegistrySchemaVersion();

// Brings the file to RegistrySchemaVersion(), each step in a transaction of its own. FailedPrecondition
// when a newer program wrote it: its records could be misunderstood.
absl::Status MigrateRegistrySchema(Database& database);

}  // namespace lanyard
