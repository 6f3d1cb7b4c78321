// MeshService of lanyard.mesh.v1 on the agent's socket: to each proxy what the mesh knows that concerns its workload.
#pragma once

#include <functional>
#include <memory>

#include "identity/agent/proxy_reports.h"
#include "identity/agent/workload_streams.h"
#include "identity/base/clock.h"
#include "identity/channel/local_server.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// A request larger than this ends its stream with INVALID_ARGUMENT; one with an Observed may have kMaxObservedBytes
// more.
inline constexpr size_t kMaxWatchRequestBytes = 4096;
// Statuses a stream may send at once, and a second in the long run; more are read later.
inline constexpr double kWatchRequestBurst = 20;
inline constexpr double kWatchRequestsPerSecond = 5;

// By gRPC's callbacks: an open stream holds no thread. Callers are recognised, and calls without the metadata
// workload.spiffe.io: true refused, as in the Workload API: it is the same endpoint. A status counts once its caller
// is recognised, and so does what it observed: left out are of that the calls of other workloads than the caller, and
// of a status an identity that is none of the caller's. Of those that are, the status says which one the proxy shows,
// and the view is of that one. The rest as NewWorkloadService; `reports` (of statuses), `observed` and `clock` are
// borrowed likewise.
std::unique_ptr<grpc::Service> NewMeshService(
    WorkloadStreams& streams, ProxyReports& reports, ProxyReports& observed, const Clock& clock,
    std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of);

}  // namespace lanyard
