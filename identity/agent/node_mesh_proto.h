// The authority's policies, route sets and bans as a NodeMesh, and a caller's answer as a View. Pure.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "api/lanyard/authority/authority.pb.h"
#include "api/lanyard/mesh/mesh.pb.h"
#include "identity/agent/mesh_answer.h"
#include "identity/policy/ban.h"

namespace lanyard {

// Rules get joined names (workload_rules.h), as a workload may have rules of several sets. Bans of agents are left out:
// a proxy knows their SVIDs by serial. InvalidArgument when some workload pattern cannot be read: without it nobody
// could say whom the rules concern.
absl::StatusOr<std::shared_ptr<const NodeMesh>> ReadNodeMesh(const authority::v1::NodeState& message);

// NodeMesh::ban_set of NodeMesh::bans. A ban that cannot be read, as of a newer authority, is left out: proxies refuse
// a View with it, and nothing more is issued to whom it names.
BanSet ReadBans(const std::string& piece);

// DataLoss when the pieces are no View.
absl::StatusOr<mesh::v1::View> ViewOf(const MeshAnswer& answer);

// OK if a status is short and printable enough to be shown to an operator; else InvalidArgument names the field.
absl::Status CheckProxyStatus(const mesh::v1::ProxyStatus& status);

inline constexpr size_t kMaxProxyStatusTextBytes = 512;

}  // namespace lanyard
