// NodeService of lanyard.node.v1 on the agent's socket: how the node stands with its authority.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "identity/agent/node_status.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace lanyard {

// A call without the metadata workload.spiffe.io: true is refused, as in the Workload API: it is the same endpoint.
// `status` is asked on gRPC's threads, and returns at once. `authority` is the address that is dialled.
std::unique_ptr<grpc::Service> NewNodeStatusService(std::string version, std::string authority,
                                                    std::function<NodeStatus()> status);

}  // namespace lanyard
