// Durable records. The seam between what the registry decides and how it is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/registry/entry.h"
#include "identity/registry/mesh_records.h"
#include "identity/registry/records.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Thread-safe. When a call that changes something returns OK, the change survives a crash at any
// later instruction; when it returns an error, nothing changed. Besides the errors named below any
// call may fail with ResourceExhausted (disk full), PermissionDenied (not writable), DataLoss (corrupted)
// or Unavailable (I/O error), in one sentence that names the file. Times are kept to the microsecond.
// Implementations: SqliteStore (sqlite_store.h), FakeStore (fake_store.h).
class Store {
 public:
  virtual ~Store() = default;

  // Grows by one with every change of entries or authorities; never goes back, restarts included.
  virtual absl::StatusOr<uint64_t> Revision() = 0;

  // AlreadyExists names the entry with the same id or UniqueKey().
  virtual absl::Status CreateEntry(const Entry& entry) = 0;
  // In the order of creation.
  virtual absl::StatusOr<std::vector<Entry>> ListEntries() = 0;
  // NotFound names the id.
  virtual absl::Status DeleteEntry(const std::string& id) = 0;

  // Also forgets tokens that ended more than kTokenHistory before `token.created_at`.
  virtual absl::Status CreateJoinToken(const JoinToken& token) = 0;
  static constexpr absl::Duration kTokenHistory = absl::Hours(24 * 7);
  virtual absl::StatusOr<JoinToken> FindJoinToken(const std::string& hash) = 0;

  // Marks the token used and records the node (replacing one of the same ID) in one step. PermissionDenied
  // when the token is unknown, used, expired at `node.attested_at`, or made for another agent:
  // of any number of callers with one token exactly one succeeds.
  virtual absl::Status AttestNode(const std::string& token_hash, const Node& node) = 0;
  // Of the SVID that it has now; min_not_before is lowered to `not_before` if that is earlier. NotFound names the node.
  virtual absl::Status UpdateNodeSvid(const SpiffeId& id, const std::string& serial, absl::Time not_before,
                                      absl::Time expires_at) = 0;
  virtual absl::StatusOr<Node> GetNode(const SpiffeId& id) = 0;
  virtual absl::Status DeleteNode(const SpiffeId& id) = 0;
  // By ID.
  virtual absl::StatusOr<std::vector<Node>> ListNodes() = 0;

  // Replaces all authorities in one step.
  virtual absl::Status ReplaceAuthorities(const std::vector<AuthorityRecord>& authorities) = 0;
  // In the order they were given.
  virtual absl::StatusOr<std::vector<AuthorityRecord>> ListAuthorities() = 0;

  virtual absl::StatusOr<MeshRecords> ListMeshRecords() = 0;
  // All of the change, and its version, in one step. What is deleted need not be there.
  virtual absl::Status ChangeMesh(const MeshChange& change) = 0;

  // Remembers SVIDs until they end, and forgets those that ended before `now`, in one step.
  virtual absl::Status RecordIssuances(const std::vector<Issuance>& issuances, absl::Time now) = 0;
  // Those issued through `agent` that are valid after `now`, by serial.
  virtual absl::StatusOr<std::vector<Issuance>> ListIssuances(const SpiffeId& agent, absl::Time now) = 0;
};

}  // namespace lanyard
