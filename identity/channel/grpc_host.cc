#include "identity/channel/grpc_host.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "identity/channel/inner_link.h"

namespace lanyard {

struct GrpcHost::State {
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
  absl::Mutex mutex;
  bool stopped ABSL_GUARDED_BY(mutex) = false;
};

GrpcHost::GrpcHost(std::unique_ptr<State> state) : state_(std::move(state)) {}
GrpcHost::~GrpcHost() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<GrpcHost>> GrpcHost::Start(const std::vector<grpc::Service*>& services,
                                                           const GrpcLimits& limits) {
  grpc::ServerBuilder builder;
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.SetMaxReceiveMessageSize(limits.max_request_bytes);
  builder.SetResourceQuota(grpc::ResourceQuota("lanyard").Resize(limits.memory_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Clients ask every kKeepaliveTimeMs: that is not abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kKeepaliveTimeMs / 2);
  auto state = std::make_unique<State>();
  using External = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  state->acceptor =
      builder.experimental().AddExternalConnectionAcceptor(External::FROM_FD, grpc::InsecureServerCredentials());
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) return absl::InternalError("gRPC does not start; its log says why");
  return std::unique_ptr<GrpcHost>(new GrpcHost(std::move(state)));
}

void GrpcHost::Serve(Descriptor connection) {
  absl::MutexLock lock(&state_->mutex);
  if (state_->stopped) return;
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = -1;
  parameters.fd = connection.Release();
  state_->acceptor->HandleNewConnection(&parameters);
}

void GrpcHost::Shutdown(absl::Duration grace) {
  {
    absl::MutexLock lock(&state_->mutex);
    if (std::exchange(state_->stopped, true)) return;
  }
  state_->server->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                        gpr_time_from_nanos(absl::ToInt64Nanoseconds(grace), GPR_TIMESPAN)));
  state_->server->Wait();
}

std::string InnerLinkOf(const grpc::ServerContextBase& call) { return InnerLinkName(call.peer()); }

}  // namespace lanyard
