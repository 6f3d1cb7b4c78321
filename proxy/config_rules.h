// The parts of proxy.yaml that say who may talk to whom, turned into values of proxy/mesh.
// Every function adds its mistakes to `problems` and goes on, so that all are reported together; what it returns
// counts only if nothing was added. Pure.
#pragma once

#include <string>
#include <vector>

#include "api/lanyard/config/proxy.pb.h"
#include "identity/config/config_problems.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// "routes" and "default_route", for captured outbound connections.
RouteTable RoutesFromConfig(const config::ProxyConfig& config, ConfigProblems& problems);

// "inbound", for captured inbound connections.
InboundPolicy InboundFromConfig(const config::ProxyConfig& config, ConfigProblems& problems);

// "bans". Of agents none: only the authority knows which SVIDs were issued through one.
BanSet BansFromConfig(const config::ProxyConfig& config, ConfigProblems& problems);

// "capture" and "listeners": where the proxy listens, and the rules of each, by the same index.
struct ConfiguredListeners {
  std::vector<ListenerSpec> specs;
  std::vector<Route> routes;
  std::vector<InboundPolicy> policies;
};
ConfiguredListeners ListenersFromConfig(const config::ProxyConfig& config, ConfigProblems& problems);

// True if one socket bound to each could not exist, or would take the other's connections.
// Port 0 (the kernel chooses) clashes with nothing.
bool AddressesClash(const SocketAddress& a, const SocketAddress& b);

}  // namespace lanyard
