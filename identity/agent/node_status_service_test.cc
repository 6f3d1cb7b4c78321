#include "identity/agent/node_status_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "api/lanyard/node/node.grpc.pb.h"

namespace lanyard {
namespace {

constexpr absl::Time kSince = absl::FromUnixSeconds(1'800'000'000);

grpc::Status Call(const NodeStatus& status, const char* header, node::v1::GetStatusResponse* response) {
  const std::unique_ptr<grpc::Service> service =
      NewNodeStatusService("1.2", "authority.example.org:7443", [&] { return status; });
  grpc::ServerBuilder builder;
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = node::v1::NodeService::NewStub(server->InProcessChannel({}));
  grpc::ClientContext context;
  if (header != nullptr) context.AddMetadata("workload.spiffe.io", header);
  return stub->GetStatus(&context, {}, response);
}

node::v1::GetStatusResponse Ask(const NodeStatus& status) {
  node::v1::GetStatusResponse response;
  const grpc::Status done = Call(status, "true", &response);
  EXPECT_TRUE(done.ok()) << done.error_message();
  return response;
}

TEST(NodeStatusService, TellsOfANodeThatIsConnected) {
  const auto response = Ask({.agent = *SpiffeId::Parse("spiffe://example.org/lanyard/agent/web-1"),
                             .not_after = kSince + absl::Hours(1),
                             .connected = true,
                             .since = kSince,
                             .last_error = ""});
  EXPECT_EQ(response.version(), "1.2");
  EXPECT_EQ(response.authority(), "authority.example.org:7443");
  EXPECT_TRUE(response.connected());
  EXPECT_EQ(response.since_unix(), 1'800'000'000);
  EXPECT_EQ(response.svid_not_after_unix(), 1'800'003'600);
  EXPECT_EQ(response.agent(), "spiffe://example.org/lanyard/agent/web-1");
}

TEST(NodeStatusService, WithoutTheSecurityHeaderTheArgumentIsInvalid) {
  for (const char* header : {static_cast<const char*>(nullptr), "false"}) {
    node::v1::GetStatusResponse response;
    const NodeStatus status = {.agent = {}, .not_after = {}, .connected = true, .since = kSince, .last_error = ""};
    const grpc::Status refused = Call(status, header, &response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(response.authority(), "");
  }
}

TEST(NodeStatusService, TellsWhyANodeIsNot) {
  const auto response =
      Ask({.agent = {}, .not_after = {}, .connected = false, .since = kSince, .last_error = "nobody answers"});
  EXPECT_FALSE(response.connected());
  EXPECT_EQ(response.last_error(), "nobody answers");
  EXPECT_EQ(response.svid_not_after_unix(), 0);
  EXPECT_EQ(response.agent(), "");
}

}  // namespace
}  // namespace lanyard
