// The operator's side of the mesh's rules (api/lanyard/registry/mesh_rules.proto), as plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/cli/observed_proxy.h"
#include "identity/cli/rules_file_proto.h"
#include "identity/policy/ban.h"
#include "identity/policy/workload_rules.h"

namespace lanyard {

struct AppliedRecord {
  std::string kind;  // "policy", "route"
  std::string name;
  std::string outcome;  // "created", "changed", "unchanged"
  uint64_t version = 0;
};

struct ListedPolicy {
  WorkloadPolicy policy;
  uint64_t version = 0;
  absl::Time updated_at;
};

struct ListedRoutes {
  WorkloadRoutes routes;
  uint64_t version = 0;
  absl::Time updated_at;
};

struct MeshListing {
  std::vector<ListedPolicy> policies;  // by name
  std::vector<ListedRoutes> routes;    // in the order in which they match
};

struct ReportedProxy {
  std::string agent;
  absl::Time reported_at;
  std::string version;
  uint64_t view_version = 0;
  std::string refused_view_error;
  uint64_t refused_view_version = 0;
  std::string spiffe_id;
  std::string serial;
  absl::Time not_after;
  uint64_t open_connections = 0;
};

struct MeshStatus {
  std::vector<ReportedProxy> proxies;
  uint64_t view_version = 0;  // the newest
};

struct NewBan {
  Ban ban;
  uint64_t view_version = 0;
  std::optional<Ban> replaced = std::nullopt;  // of the same subject
};

// Not thread-safe. Every call ends within the timeout, after waiting for `wait` at most until the authority is there;
// Unavailable and PermissionDenied name the socket and the remedy.
class MeshRulesClient {
 public:
  MeshRulesClient(const std::string& socket_path, absl::Duration timeout, absl::Duration wait = absl::ZeroDuration());
  ~MeshRulesClient();

  absl::StatusOr<std::vector<AppliedRecord>> Apply(const RulesFile& rules, bool dry_run);
  // "" lists all; an ID only what speaks of it.
  absl::StatusOr<MeshListing> List(const std::string& workload);
  absl::Status Delete(const std::vector<std::string>& policies, const std::vector<std::string>& routes);
  // Zero `length`: until unbanned.
  absl::StatusOr<NewBan> AddBan(const BanSubject& subject, const std::string& reason, absl::Duration length);
  absl::Status RemoveBan(const BanSubject& subject);
  absl::StatusOr<std::vector<Ban>> ListBans();
  absl::StatusOr<MeshStatus> GetMeshStatus();
  // Agents that are not connected first. A call that cannot be read counts as left out.
  absl::StatusOr<std::vector<ObservedProxy>> ListObserved();

 private:
  struct Stub;
  std::unique_ptr<Stub> stub_;
};

}  // namespace lanyard
