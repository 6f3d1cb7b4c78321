#include "identity/workload/workload_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/spiffe/workload.grpc.pb.h"
#include "identity/workload/svid_response_proto.h"

namespace lanyard {
namespace {

constexpr int kMaxMessageSizeBytes = 16 << 20;
// Above the five minutes that other implementations' servers take for abuse.
constexpr int kKeepaliveTimeMs = 6 * 60 * 1000;

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  // A connection of this stream's own: gRPC's shared ones keep their own back-off, and one that broke would
  // make us wait beside the caller's.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetMaxReceiveMessageSize(kMaxMessageSizeBytes);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct WorkloadStream::State {
  explicit State(const std::string& target) : stub(SpiffeWorkloadAPI::NewStub(NewChannel(target))) {}
  const std::unique_ptr<SpiffeWorkloadAPI::Stub> stub;
  grpc::ClientContext call;
  std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> reader;
  std::optional<absl::Status> end;
};

WorkloadStream::WorkloadStream(std::unique_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<WorkloadStream> WorkloadStream::Open(const std::string& target,
                                                     std::optional<absl::Duration> timeout) {
  auto state = std::make_unique<State>(target);
  // Workload Endpoint section 5: without it a confused deputy might have been made to ask.
  state->call.AddMetadata("workload.spiffe.io", "true");
  if (timeout) {
    gpr_timespec span = gpr_time_from_nanos(absl::ToInt64Nanoseconds(*timeout), GPR_TIMESPAN);
    state->call.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), span));
  }
  return std::unique_ptr<WorkloadStream>(new WorkloadStream(std::move(state)));
}

WorkloadStream::~WorkloadStream() {
  Cancel();
  // gRPC wants every stream finished.
  if (state_->reader != nullptr && !ended()) state_->reader->Finish();
}

absl::StatusOr<WorkloadIdentity> WorkloadStream::Next() {
  if (ended()) return *state_->end;
  // Here and not in Open, as it waits for the connection: Cancel must reach it.
  if (state_->reader == nullptr) state_->reader = state_->stub->FetchX509SVID(&state_->call, X509SVIDRequest());
  X509SVIDResponse response;
  if (state_->reader->Read(&response)) return ParseSvidResponse(response);
  const grpc::Status status = state_->reader->Finish();
  // The codes are the same by definition. A server that simply ends its stream leaves us without news.
  state_->end = status.ok() ? absl::UnavailableError("the Workload API ended the stream")
                            : absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  return *state_->end;
}

bool WorkloadStream::ended() const { return state_->end.has_value(); }

void WorkloadStream::Cancel() { state_->call.TryCancel(); }

}  // namespace lanyard
