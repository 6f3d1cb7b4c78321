#include "identity/cli/node_client.h"

#include "api/lanyard/node/node.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "identity/base/clock.h"

namespace lanyard {

absl::StatusOr<NodeRecord> GetNodeStatus(const std::string& address, absl::Duration timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  const auto stub = node::v1::NodeService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.AddMetadata("workload.spiffe.io", "true");  // it is the Workload API's endpoint (Workload Endpoint 6)
  context.set_deadline(absl::ToChronoTime(SystemClock().Now() + timeout));
  node::v1::GetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, {}, &response);
  if (!status.ok()) return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  return NodeRecord{.version = response.version(),
                    .agent = response.agent(),
                    .authority = response.authority(),
                    .connected = response.connected(),
                    .since = absl::FromUnixSeconds(response.since_unix()),
                    .last_error = response.last_error()};
}

}  // namespace lanyard
