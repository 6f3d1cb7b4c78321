#include "proxy/mesh/mesh_view.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

bool Matches(const Route& route, const SocketAddress& destination) {
  if (!route.ports.empty() &&
      std::find(route.ports.begin(), route.ports.end(), destination.port()) == route.ports.end())
    return false;
  return route.destinations.empty() ||
         std::any_of(route.destinations.begin(), route.destinations.end(),
                     [&](const AddressBlock& block) { return block.Contains(destination.host_bytes()); });
}

const Route& RefuseAll() {
  static const Route* const route = new Route{"no-rule", {}, {}, RouteAction::kRefuse, {}};
  return *route;
}

const InboundPolicy& DenyAll() {
  static const InboundPolicy* const policy = new InboundPolicy();
  return *policy;
}

}  // namespace

RouteTable::RouteTable(std::vector<Route> routes, Route fallback)
    : routes_(std::move(routes)), fallback_(std::move(fallback)) {}

const Route& RouteTable::Find(const SocketAddress& destination) const {
  for (const Route& route : routes_) {
    if (Matches(route, destination)) return route;
  }
  return fallback_;
}

ProxyProtocol ListenerSpec::HeaderFor(uint16_t port) const {
  for (const ServerHeader& header : server_headers) {
    const bool here = std::find(header.ports.begin(), header.ports.end(), port) != header.ports.end();
    if (here || header.ports.empty()) return header.version;
  }
  return ProxyProtocol::kNone;
}

const Route& MeshView::RouteFor(size_t index, ListenerKind kind, const SocketAddress& destination) const {
  if (kind == ListenerKind::kOutboundCapture) return routes.Find(destination);
  if (kind == ListenerKind::kOutboundStatic && index < listener_routes.size()) return listener_routes[index];
  return RefuseAll();
}

const InboundPolicy& MeshView::PolicyFor(size_t index, ListenerKind kind) const {
  if (kind == ListenerKind::kInboundCapture) return inbound;
  if (kind == ListenerKind::kInboundStatic && index < listener_policies.size()) return listener_policies[index];
  return DenyAll();
}

}  // namespace lanyard
