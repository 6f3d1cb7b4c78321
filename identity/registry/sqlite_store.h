// The registry's records in one SQLite file.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "identity/registry/sqlite.h"
#include "identity/registry/store.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

class SqliteStore : public Store {
 public:
  // Opens or creates `path`, checks its integrity, migrates its schema. FailedPrecondition for a
  // newer schema; DataLoss for a file that is corrupted, or a row that does not parse.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path, const TrustDomain& trust_domain);

  absl::StatusOr<uint64_t> Revision() override;
  absl::Status CreateEntry(const Entry& entry) override;
  absl::StatusOr<std::vector<Entry>> ListEntries() override;
  absl::Status DeleteEntry(const std::string& id) override;
  absl::Status CreateJoinToken(const JoinToken& token) override;
  absl::StatusOr<JoinToken> FindJoinToken(const std::string& hash) override;
  absl::Status AttestNode(const std::string& token_hash, const Node& node) override;
  absl::Status UpdateNodeSvid(const SpiffeId& id, const std::string& serial, absl::Time not_before,
                              absl::Time expires_at) override;
  absl::StatusOr<Node> GetNode(const SpiffeId& id) override;
  absl::Status DeleteNode(const SpiffeId& id) override;
  absl::StatusOr<std::vector<Node>> ListNodes() override;
  absl::Status ReplaceAuthorities(const std::vector<AuthorityRecord>& authorities) override;
  absl::StatusOr<std::vector<AuthorityRecord>> ListAuthorities() override;
  absl::StatusOr<MeshRecords> ListMeshRecords() override;
  absl::Status ChangeMesh(const MeshChange& change) override;
  absl::Status RecordIssuances(const std::vector<Issuance>& issuances, absl::Time now) override;
  absl::StatusOr<std::vector<Issuance>> ListIssuances(const SpiffeId& agent, absl::Time now) override;

 private:
  SqliteStore(std::unique_ptr<Database> database, TrustDomain trust_domain)
      : trust_domain_(std::move(trust_domain)), database_(std::move(database)) {}
  // All with mutex_ held.
  absl::Status BumpRevision();
  absl::Status InsertEntry(const Entry& entry);
  absl::Status CheckNoSuchEntry(const Entry& entry);
  absl::StatusOr<std::vector<std::string>> Column(absl::string_view sql, const std::string& parameter);
  absl::StatusOr<JoinToken> ReadJoinToken(const std::string& hash);
  absl::StatusOr<Node> ReadNode(const Statement& row) const;
  absl::Status DamagedRow(absl::string_view table, const absl::Status& why) const;

  const TrustDomain trust_domain_;
  std::mutex mutex_;  // guards database_
  std::unique_ptr<Database> database_;
};

}  // namespace lanyard
