// A store in memory, for tests; keeps the Store contract but for durability.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "identity/registry/store.h"

namespace lanyard {

class FakeStore : public Store {
 public:
  // From now on every call fails with `error`; OK ends that.
  void FailWith(absl::Status error);

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
  std::mutex mutex_;
  absl::Status error_;
  uint64_t revision_ = 0;
  std::vector<Entry> entries_;
  std::map<std::string, JoinToken> tokens_;
  std::map<SpiffeId, Node> nodes_;
  std::vector<AuthorityRecord> authorities_;
  MeshRecords mesh_;
  std::map<std::string, Issuance> issuances_;  // by serial
};

}  // namespace lanyard
