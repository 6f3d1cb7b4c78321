#include "identity/agent/node_status_service.h"

#include <utility>

#include "api/lanyard/node/node.grpc.pb.h"
#include "identity/agent/stream_call.h"

namespace lanyard {
namespace {

namespace v1 = node::v1;

class NodeStatusService final : public v1::NodeService::CallbackService {
 public:
  NodeStatusService(std::string version, std::string authority, std::function<NodeStatus()> status)
      : version_(std::move(version)), authority_(std::move(authority)), status_(std::move(status)) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                      v1::GetStatusResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (grpc::Status header = CheckSecurityHeader(*context); !header.ok()) {
      reactor->Finish(header);
      return reactor;
    }
    const NodeStatus status = status_();
    response->set_version(version_);
    response->set_authority(authority_);
    response->set_connected(status.connected);
    response->set_since_unix(absl::ToUnixSeconds(status.since));
    response->set_last_error(status.last_error);
    if (status.not_after) response->set_svid_not_after_unix(absl::ToUnixSeconds(*status.not_after));
    if (status.agent) response->set_agent(status.agent->ToString());
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const std::string version_, authority_;
  const std::function<NodeStatus()> status_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewNodeStatusService(std::string version, std::string authority,
                                                    std::function<NodeStatus()> status) {
  return std::make_unique<NodeStatusService>(std::move(version), std::move(authority), std::move(status));
}

}  // namespace lanyard
