// The tables of SqliteStore that hold the mesh: its share of the Store contract, without the lock.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/registry/mesh_records.h"
#include "identity/registry/sqlite.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// DataLoss names the file, the table and what does not parse.
absl::StatusOr<MeshRecords> ReadMeshRecords(Database& database);
absl::Status WriteMeshChange(Database& database, const MeshChange& change);
absl::Status WriteIssuances(Database& database, const std::vector<Issuance>& issuances, absl::Time now);
absl::StatusOr<std::vector<Issuance>> ReadIssuances(Database& database, const SpiffeId& agent, absl::Time now);

}  // namespace lanyard
