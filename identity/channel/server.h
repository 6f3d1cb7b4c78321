// A gRPC server over SVID-authenticated TLS. gRPC itself is linked without TLS; BoringSSL
// terminates each connection and hands gRPC one end of a private Unix socket pair, named so that a
// handler can ask who is at the other end of its connection (invariant 4: the name is 128
// random bits, never an fd or a port, and is forgotten when the connection ends).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/spiffe/verify.h"
#include "identity/tls/tls_context.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// Thread-safe. Owns its threads; the services are borrowed and must outlive it.
class ChannelServer {
 public:
  struct Options {
    std::string address = {};                // "0.0.0.0:7443", "[::]:0"
    bool require_client_svid = true;        // false lets an anonymous client in; handlers must look at PeerOf
    size_t max_connections = 10000;         // more are closed at accept, and counted
    // Of one SPIFFE ID, so that no peer keeps out the others: one more ends the oldest of them, and is counted.
    size_t max_connections_per_id = 8;
    // Connections of whom nothing is known: in their handshake, or of an anonymous client. One more ends the oldest of
    // the address (or IPv6 network of 64 bits) that has most of them, and so does any at max_connections: whoever has
    // an SVID is not kept out by those who show none.
    size_t max_unidentified = 256;
    absl::Duration handshake_timeout = absl::Seconds(10);
    absl::Duration anonymous_timeout = absl::Seconds(15);   // for all that an anonymous client has to ask
    int max_message_bytes = 16 << 20;       // larger requests are refused
    // Calls at once on one connection: clients are told, and wait with further ones. More than twice as many, for a
    // client may not have heard yet, end the connection.
    int max_calls_per_connection = 32;
    size_t memory_bytes = size_t{1} << 30;  // what gRPC may hold for all connections (GrpcLimits)
  };
  struct Stats {
    uint64_t accepted = 0, open = 0, failed_handshakes = 0;
    uint64_t refused_limit = 0;     // at max_connections or max_connections_per_id, or at a limit of StreamLimit
    uint64_t ended_anonymous = 0;   // by us: for others, or in time
  };

  static absl::StatusOr<std::unique_ptr<ChannelServer>> Start(Options options,
                                                              std::shared_ptr<const TlsContext> context,
                                                              std::vector<grpc::Service*> services);
  ~ChannelServer();   // Shutdown(now)

  // New connections use `context`; open ones whose peer no longer verifies against its bundles are closed.
  void SetContext(std::shared_ptr<const TlsContext> context);

  // The SVID at the other end of the connection that carries this call; nullopt for an anonymous
  // client, and once the connection is gone. A connection is closed when its peer's SVID expires.
  std::optional<VerifiedSvid> PeerOf(const grpc::ServerContextBase& call) const;

  // Closes connections whose peer matches; returns how many.
  size_t CloseConnections(const std::function<bool(const VerifiedSvid& peer)>& matches);

  uint16_t port() const;
  // Read on the server's thread, so that what a peer has seen of a connection's end is counted. Zeros after Shutdown.
  Stats stats() const;
  void Shutdown(absl::Duration grace);

 private:
  struct State;
  explicit ChannelServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
