// The SPIFFE Workload API's X.509 profile (Workload API section 5) over gRPC. The other profiles answer
// UNIMPLEMENTED, to whom the endpoint would listen to at all.
#pragma once

#include <functional>
#include <memory>

#include "identity/agent/workload_streams.h"
#include "identity/channel/local_server.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// By gRPC's callbacks: an open stream holds no thread. A call without the metadata workload.spiffe.io: true is answered
// INVALID_ARGUMENT (Workload Endpoint sections 3 and 6). `peer_of`: LocalServer::PeerOf; null ends the call with
// UNAVAILABLE. `streams` is borrowed, until the server that carries the service has shut down.
std::unique_ptr<grpc::Service> NewWorkloadService(
    WorkloadStreams& streams,
    std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of);

}  // namespace lanyard
