// What the registry keeps of who may talk to whom: policies, route sets, bans, and which SVIDs were issued.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/policy/ban.h"
#include "identity/policy/workload_rules.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// `version` is the mesh version of the record's last change: it grows with each change of the record, and of the mesh.
struct PolicyRecord {
  WorkloadPolicy policy;
  uint64_t version = 0;
  absl::Time updated_at;

  friend bool operator==(const PolicyRecord&, const PolicyRecord&) = default;
};

struct RoutesRecord {
  WorkloadRoutes routes;
  uint64_t version = 0;
  absl::Time updated_at;

  friend bool operator==(const RoutesRecord&, const RoutesRecord&) = default;
};

// By name.
struct RuleRecords {
  std::map<std::string, PolicyRecord> policies;
  std::map<std::string, RoutesRecord> routes;
};

// Everything at once, as a store holds it.
struct MeshRecords {
  uint64_t version = 0;  // of the mesh: grows with every change of any of these, and never goes back
  RuleRecords rules;
  std::vector<Ban> bans;  // ended ones too, until they are deleted
};

// What changes in one step. A put replaces the record of the same name, or the ban of the same subject.
struct MeshChange {
  uint64_t version = 0;  // of the mesh after it
  std::vector<PolicyRecord> put_policies = {};
  std::vector<RoutesRecord> put_routes = {};
  std::vector<std::string> delete_policies = {};
  std::vector<std::string> delete_routes = {};
  std::vector<Ban> put_bans = {};
  std::vector<BanSubject> delete_bans = {};
};

// An X.509-SVID that was handed out.
struct Issuance {
  std::string serial;
  SpiffeId spiffe_id;
  SpiffeId agent;  // through which it was issued
  absl::Time not_after;

  friend bool operator==(const Issuance&, const Issuance&) = default;
};

}  // namespace lanyard
