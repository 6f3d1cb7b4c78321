// The operator's side of the authority's Unix socket (api/lanyard/registry), as plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lanyard {

struct EntryRecord {
  std::string id;  // chosen by the authority
  std::string spiffe_id;
  std::string parent_id;  // "": every agent
  std::vector<std::string> selectors;
  absl::Duration x509_svid_ttl;  // zero: the authority's default
  std::vector<std::string> dns_names;
  std::string hint;
  absl::Time created_at;
};

struct JoinTokenRecord {
  std::string token;
  std::string agent_id;
  absl::Time expires_at;
};

struct AgentRecord {
  std::string spiffe_id;
  std::string attestation;
  absl::Time attested_at;
  absl::Time svid_expires_at;
  std::string svid_serial;
  bool connected = false;
};

struct BundleRecord {
  std::string trust_domain;
  std::vector<std::string> authorities;  // DER
};

struct SigningAuthorityRecord {
  std::string kind;   // "root", "intermediate"
  std::string state;  // "prepared", "active", "retired"
  std::string serial;
  absl::Time not_before;
  absl::Time not_after;
  std::string sha256 = "";  // of the certificate; "" of an older authority
};

struct AuthorityStatus {
  std::string version;
  std::string trust_domain;
  absl::Time now;  // by the authority's clock
  std::vector<SigningAuthorityRecord> authorities;
  int64_t entries = 0;
  int64_t agents = 0;
  std::string grpc_address;
};

// Not thread-safe. Every call ends within the timeout, after waiting for `wait` at most until the authority is there;
// Unavailable and PermissionDenied name the socket and the remedy.
class RegistryClient {
 public:
  RegistryClient(std::string socket_path, absl::Duration timeout, absl::Duration wait = absl::ZeroDuration());
  ~RegistryClient();

  absl::StatusOr<EntryRecord> CreateEntry(const EntryRecord& entry);
  absl::StatusOr<std::vector<EntryRecord>> ListEntries(const std::string& spiffe_id, const std::string& parent_id);
  absl::StatusOr<EntryRecord> DeleteEntry(const std::string& id);
  absl::StatusOr<JoinTokenRecord> CreateJoinToken(const std::string& node_name, absl::Duration ttl);
  absl::StatusOr<std::vector<AgentRecord>> ListAgents();
  absl::Status DeleteAgent(const std::string& spiffe_id);
  absl::StatusOr<BundleRecord> GetBundle();
  absl::StatusOr<AuthorityStatus> GetStatus();

 private:
  struct Stub;
  std::unique_ptr<Stub> stub_;
};

}  // namespace lanyard
