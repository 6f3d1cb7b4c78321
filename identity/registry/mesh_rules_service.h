// The operators' gRPC service for policies, routes and bans (api/lanyard/registry/mesh_rules.proto): translates, logs
// who changed what, decides nothing.
#pragma once

#include <memory>

#include "identity/registry/mesh_registry.h"
#include "identity/registry/mesh_reports.h"
#include "identity/registry/registry_service.h"

namespace lanyard {

// Borrows all three, which must outlive it.
std::unique_ptr<grpc::Service> NewMeshRulesService(MeshRegistry& mesh, const MeshReports& reports,
                                                   const AuthorityFacts& facts);

}  // namespace lanyard
