// The agents' gRPC service (api/lanyard/authority): translates, decides nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "identity/authority/issuer.h"
#include "identity/authority/issuing_counters.h"
#include "identity/authority/node_attestation.h"
#include "identity/authority/node_watches.h"
#include "identity/authority/signing_allowance.h"
#include "identity/base/clock.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/mesh_reports.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/verify.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

inline constexpr int kMaxSignRequests = 100;

// All borrowed; must outlive the service.
struct AuthorityServiceParts {
  Registry& registry;
  MeshRegistry& mesh;
  MeshReports& reports;
  const Clock& clock;
  const Issuer& issuer;
  NodeAttestation& attestation;
  NodeWatches& watches;
  IssuingCounters& issuing;
  SigningAllowance& allowance;
  // Who is at the other end of a call's connection; ChannelServer::PeerOf.
  std::function<std::optional<VerifiedSvid>(const grpc::ServerContextBase& call)> peer_of;
  // Ends all that runs as this agent; asked when it attests, before its new SVID is answered.
  std::function<void(const SpiffeId& agent)> disconnect;
};

std::unique_ptr<grpc::Service> NewAuthorityService(AuthorityServiceParts parts);

}  // namespace lanyard
