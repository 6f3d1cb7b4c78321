// The records of api/lanyard/registry/mesh_rules.proto as values, and back.
#pragma once

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/lanyard/registry/mesh_rules.pb.h"
#include "identity/config/config_problems.h"
#include "identity/policy/workload_rules.h"
#include "identity/registry/mesh_records.h"

namespace lanyard {

inline constexpr size_t kMaxRecordSizeBytes = 256 << 10;

// As identity/policy/rules_proto.h: mistakes go to `problems`. `path` is "policies[0]"; `seen` are the names before it.
WorkloadPolicy PolicyFromProto(absl::string_view path, const registry::v1::Policy& from, std::set<std::string>& seen,
                               ConfigProblems& problems);
WorkloadRoutes RoutesFromProto(absl::string_view path, const registry::v1::RouteSet& from, std::set<std::string>& seen,
                               ConfigProblems& problems);

registry::v1::Policy ToProto(const PolicyRecord& record);
registry::v1::RouteSet ToProto(const RoutesRecord& record);

// One record as text that people can read in the database, and back. InvalidArgument says what does not parse.
std::string ToText(const PolicyRecord& record);
std::string ToText(const RoutesRecord& record);
absl::StatusOr<PolicyRecord> PolicyFromText(const std::string& text);
absl::StatusOr<RoutesRecord> RoutesFromText(const std::string& text);

}  // namespace lanyard
