// One immutable picture of the mesh as this proxy sees it: who we are, whom we trust, where calls
// go, who may call. The control thread builds a new one for every change and publishes it
// whole; workers read it without locks. Pure: decisions here make no system call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "identity/policy/address_block.h"
#include "identity/policy/ban.h"
#include "identity/policy/policy.h"
#include "identity/policy/route.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/address.h"

namespace lanyard {

// First match in order, then the fallback.
class RouteTable {
 public:
  RouteTable() = default;  // everything is refused
  RouteTable(std::vector<Route> routes, Route fallback);
  const Route& Find(const SocketAddress& destination) const;
  const std::vector<Route>& routes() const { return routes_; }
  const Route& fallback() const { return fallback_; }
  friend bool operator==(const RouteTable&, const RouteTable&) = default;

 private:
  std::vector<Route> routes_;
  Route fallback_;
};

enum class ListenerKind { kOutboundCapture, kInboundCapture, kOutboundStatic, kInboundStatic };

enum class ProxyProtocol : uint8_t { kNone, kV1, kV2 };

// The servers behind these ports are told by a header of the PROXY protocol who calls.
struct ServerHeader {
  std::vector<uint16_t> ports;  // that the caller dialled; empty: any
  ProxyProtocol version = ProxyProtocol::kNone;
  friend bool operator==(const ServerHeader&, const ServerHeader&) = default;
};

// Callers from here, and nobody else, are listened to, and begin with a header of the PROXY protocol.
struct AcceptedHeader {
  std::vector<AddressBlock> from;  // empty: everybody is, and none begins so
  absl::Duration timeout;          // until it is whole
  friend bool operator==(const AcceptedHeader&, const AcceptedHeader&) = default;
};

// Where the proxy listens. Fixed for the life of the process; its rules live in the view.
struct ListenerSpec {
  std::string name;  // "capture-outbound", "capture-inbound", or the configured one
  ListenerKind kind;
  SocketAddress address;
  std::string destination;  // static ones: "host:port"
  bool transparent = false;      // capture: takes connections to any address, as TPROXY brings them
  bool preserve_source = false;  // kInboundCapture: the server is called from the caller's address
  AcceptedHeader accepted_header = {};            // static ones
  std::vector<ServerHeader> server_headers = {};  // inbound ones; the first that holds for a port

  ProxyProtocol HeaderFor(uint16_t port) const;
};

// The ALPN name that proxies offer each other. A ClientHello that offers only others is the application's own
// TLS where plaintext is allowed, and a plain mutual TLS peer where it is not.
inline constexpr char kMeshAlpn[] = "lanyard/1";

// When an SVID that an open connection was authenticated by expires, the peer's or our own.
enum class OnSvidExpiry {
  kKeep,
  kClose,
  kReauthenticate,  // before that, where the peer speaks the mesh protocol; else as kClose
};

// What the configuration says of the mesh: every rule, and nothing of who we are.
struct MeshRules {
  RouteTable routes;      // captured outbound
  InboundPolicy inbound;  // captured inbound
  // Rules of the static listeners, by index of ListenerSpec (unused ones are empty).
  std::vector<Route> listener_routes;            // kOutboundStatic
  std::vector<InboundPolicy> listener_policies;  // kInboundStatic
  OnSvidExpiry on_svid_expiry = OnSvidExpiry::kReauthenticate;
  BanSet bans = {};  // asked before every route and policy, of callers and of those called
};

struct MeshView : MeshRules {
  uint64_t version = 0;                   // 1 is the first ever published
  std::shared_ptr<const TlsContext> tls;  // never null in a published view
  // Its source gives it to us no more: no handshake begins with it, and no stream. What is open goes on.
  bool identity_withdrawn = false;

  // The rules for a connection that came in by listener `index`; `destination` is the original one. A
  // listener that no rule speaks of refuses (denies) everything.
  const Route& RouteFor(size_t index, ListenerKind kind, const SocketAddress& destination) const;
  const InboundPolicy& PolicyFor(size_t index, ListenerKind kind) const;
};

// Limits of one worker (those per peer and per source: of the process); fixed for the life of the process.
struct ConnectionLimits {
  uint32_t max_connections = 8192;
  uint32_t max_handshakes = 4096;  // in flight
  uint32_t buffer_bytes = 65536;   // a direction of a connection, at most
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration sniff_timeout = absl::Milliseconds(200);
  absl::Duration idle_timeout = absl::ZeroDuration();  // zero: none
  uint32_t max_connections_per_peer = 0;     // let in, by SPIFFE ID; zero: none
  uint32_t max_connections_per_source = 768;  // not authenticated yet, by address
  absl::Duration first_byte_timeout = absl::ZeroDuration();   // zero: none
  absl::Duration half_closed_timeout = absl::ZeroDuration();  // zero: none
  uint64_t max_buffered_bytes = 256 << 20;  // for receivers that are slow
  // Of links, which carry one stream after another.
  uint32_t max_idle_links = 1024;  // that wait for their next stream, of those opened and of those accepted
  uint32_t max_idle_links_per_destination = 256;
  uint32_t max_link_handshakes = 32;  // in flight ahead of need, or to authenticate a stream anew
  absl::Duration idle_link_timeout = absl::Seconds(60);  // of those opened; those accepted have twice as long
  absl::Duration link_ping_after = absl::Seconds(5);     // idle longer: its peer is asked for a sign of life before use
  absl::Duration link_ping_timeout = absl::Milliseconds(500);  // beyond it the link is given up, and another dialled

  friend bool operator==(const ConnectionLimits&, const ConnectionLimits&) = default;
};

}  // namespace lanyard
