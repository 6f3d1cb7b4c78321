// One connection of a ChannelServer: its handshake, then its relay, until whatever ends it.
// Private to identity/channel.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/grpc_host.h"
#include "identity/channel/handshake_share.h"
#include "identity/channel/peer_table.h"
#include "identity/channel/relay.h"
#include "identity/channel/tls_transport.h"
#include "identity/spiffe/verify.h"
#include "identity/tls/tls_context.h"

namespace lanyard {

// Lives on the loop's thread.
class ServerConnection final : private EventLoop::Handler {
 public:
  // What all connections of a server share; borrowed.
  struct Server {
    EventLoop& loop;
    HandshakeShare& handshakes;
    GrpcHost& host;
    PeerTable<VerifiedSvid>& peers;
    const Clock& clock;
    absl::Duration anonymous_timeout;
    size_t max_streams;   // of a connection
  };

  // `on_open`: the handshake succeeded, and peer() is known. `on_end` runs once, as the last thing the connection does,
  // and destroys it.
  ServerConnection(const Server& server, std::unique_ptr<TlsTransport> transport, std::function<void()> on_open,
                   std::function<void(const absl::Status&)> on_end);
  ~ServerConnection();

  // Ends by itself after `handshake_timeout`, unless the handshake is done; an anonymous client's after the
  // anonymous_timeout.
  void Start(absl::Duration handshake_timeout);

  bool open() const { return relay_ != nullptr; }
  // Null for an anonymous client, and before the handshake is done.
  const VerifiedSvid* peer() const { return peer_.get(); }
  // By the bundles and the clock of `context`.
  absl::Status Reverify(const TlsContext& context) const;

 private:
  void OnReady(uint32_t events) override;
  void StepHandshake();
  void Await(uint32_t events);
  absl::Status Open();
  void CheckExpiry();
  void End(const absl::Status& status);

  const Server& server_;
  std::unique_ptr<TlsTransport> transport_;   // until the relay takes it
  bool watched_ = false;                      // likewise: the loop watches its socket
  const SSL* ssl_;                            // the transport's
  const std::function<void()> on_open_;
  std::function<void(const absl::Status&)> on_end_;
  std::unique_ptr<Relay> relay_;
  std::shared_ptr<const VerifiedSvid> peer_;
  std::string name_;
  EventLoop::TimerId timer_ = {};
};

}  // namespace lanyard
