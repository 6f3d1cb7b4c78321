// A gRPC channel over SVID-authenticated TLS: one connection, no reconnecting behind the caller's
// back. When it breaks, calls fail with UNAVAILABLE and the caller dials again with its own backoff.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/spiffe/verify.h"
#include "identity/tls/tls_context.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace lanyard {

// Thread-safe. Keep it as long as its channel is used; destroying it breaks the connection.
class ChannelClient {
 public:
  struct Options {
    std::string address = {};                          // "host:port"; resolved at each dial, all addresses tried
    // Who must answer; false fails the dial with PermissionDenied. Required.
    std::function<bool(const SpiffeId& server)> expect_server = {};
    absl::Duration timeout = absl::Seconds(5);        // resolve + connect + handshake
  };
  // Blocks until the handshake is done. Unavailable: cannot connect; Unauthenticated: the
  // server's SVID was refused (carries a SvidDefect); DeadlineExceeded.
  static absl::StatusOr<std::unique_ptr<ChannelClient>> Dial(Options options,
                                                             std::shared_ptr<const TlsContext> context);
  ~ChannelClient();

  std::shared_ptr<grpc::Channel> channel() const;
  const VerifiedSvid& server() const;

 private:
  struct State;
  explicit ChannelClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
