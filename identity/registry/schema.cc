#include "identity/registry/schema.h"

#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// Step i leads from version i to i + 1. A step that has been released never changes.
// Times are microseconds since the Unix epoch. No table ever holds a private key or a token's text.
constexpr const char* kSteps[] = {
    R"sql(
CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (1, 0);

CREATE TABLE entries (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  unique_key TEXT NOT NULL UNIQUE,
  spiffe_id TEXT NOT NULL,
  parent_id TEXT NOT NULL,
  x509_svid_ttl_seconds INTEGER NOT NULL,
  hint TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE entry_selectors (
  entry_id TEXT NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
  selector TEXT NOT NULL,
  PRIMARY KEY (entry_id, selector)
) STRICT, WITHOUT ROWID;
CREATE TABLE entry_dns_names (
  entry_id TEXT NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (entry_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  attestation TEXT NOT NULL,
  attested_at INTEGER NOT NULL,
  svid_serial TEXT NOT NULL,
  svid_expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE join_tokens (
  hash BLOB PRIMARY KEY,
  agent_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT;

CREATE TABLE authorities (
  position INTEGER PRIMARY KEY,
  serial TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  certificate BLOB NOT NULL
) STRICT;
)sql",
    // Rules as text (api/lanyard/registry/mesh_rules.proto in JSON), bans, and the SVIDs that still live.
    R"sql(
CREATE TABLE mesh (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO mesh VALUES (1, 0);

CREATE TABLE mesh_rules (
  kind TEXT NOT NULL CHECK (kind IN ('policy', 'route')),
  name TEXT NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT;
CREATE TABLE bans (
  subject TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;
CREATE TABLE issuances (
  serial TEXT PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX issuances_by_agent ON issuances (agent_id);
CREATE INDEX issuances_by_end ON issuances (not_after);
)sql",
    // Of nodes attested before nothing is known: every SVID of theirs counts until they are attested anew.
    R"sql(
ALTER TABLE nodes ADD COLUMN min_not_before INTEGER NOT NULL DEFAULT 0;
)sql",
};

}  // namespace

int RegistrySchemaVersion() { return static_cast<int>(std::size(kSteps)); }

absl::Status MigrateRegistrySchema(Database& database) {
  int64_t version = 0;
  {
    Statement read = database.Prepare("PRAGMA user_version");
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    version = *row ? read.Int(0) : 0;
  }
  if (version > RegistrySchemaVersion()) {
    return absl::FailedPreconditionError(absl::StrCat("the registry database ", database.path(), " has schema ",
                                                      version, " but this program knows only ", RegistrySchemaVersion(),
                                                      "; start the newer lanyard-authority that wrote it"));
  }
  for (; version < RegistrySchemaVersion(); ++version) {
    absl::Status migrated = database.InTransaction(
        [&] { return database.Execute(absl::StrCat(kSteps[version], "PRAGMA user_version=", version + 1, ";")); });
    if (!migrated.ok()) return migrated;
  }
  return absl::OkStatus();
}

}  // namespace lanyard
