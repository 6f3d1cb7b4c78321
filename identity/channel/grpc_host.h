// A gRPC server that listens nowhere: connections are handed to it. Private to identity/channel.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/descriptor.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// A message larger than this is refused by either end.
inline constexpr int kMaxMessageSizeBytes = 16 << 20;
// Both ends ask after the other when nothing has been heard for so long, and give up after the timeout.
inline constexpr int kKeepaliveTimeMs = 20000;
inline constexpr int kKeepaliveTimeoutMs = 10000;

struct GrpcLimits {
  int max_request_bytes = kMaxMessageSizeBytes;
  // Of one connection. Clients are told, and wait with further ones; StreamLimit is for those that do not listen.
  int max_streams = 100;
  // What connections and calls may hold in all. Near it gRPC reads less at once; at it, it takes no more connections
  // and cancels calls.
  size_t memory_bytes = size_t{256} << 20;
};

// Thread-safe.
class GrpcHost {
 public:
  static absl::StatusOr<std::unique_ptr<GrpcHost>> Start(const std::vector<grpc::Service*>& services,
                                                         const GrpcLimits& limits = {});
  ~GrpcHost();   // Shutdown(now)

  // A non-blocking connected socket; closed unserved after Shutdown.
  void Serve(Descriptor connection);
  // Tells the clients to go, waits up to `grace` for calls in flight, then cancels them; returns once every handler
  // has. The connections' other ends must be served meanwhile. Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  struct State;
  explicit GrpcHost(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The name of the inner link that carries `call`; "" if it came by none.
std::string InnerLinkOf(const grpc::ServerContextBase& call);

}  // namespace lanyard
