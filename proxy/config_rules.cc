#include "proxy/config_rules.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "identity/config/checks.h"

namespace lanyard {
namespace {

constexpr size_t kMaxNameSizeBytes = 64;
constexpr char kCaptureOutbound[] = "capture-outbound";
constexpr char kCaptureInbound[] = "capture-inbound";
constexpr char kDefaultRoute[] = "default";

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; }

// Names stand in logs and metric labels, where two of one name could not be told apart.
void CheckName(absl::string_view path, const std::string& name, std::set<std::string>& seen, ConfigProblems& problems) {
  if (name.empty()) return problems.Add(path, "a name is required; it stands in logs and metrics");
  if (name.size() > kMaxNameSizeBytes || !std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return problems.Add(path, absl::StrCat("\"", name, "\" is not a name: use 1 to ", kMaxNameSizeBytes,
                                           " letters, digits, '.', '_' or '-'"));
  }
  if (!seen.insert(name).second) {
    problems.Add(path, absl::StrCat("\"", name, "\" is taken already; every name is used once"));
  }
}

template <typename Strings>
std::vector<PeerPattern> PeersFromConfig(absl::string_view path, const Strings& texts, ConfigProblems& problems) {
  std::vector<PeerPattern> peers;
  for (int i = 0; i < texts.size(); ++i) {
    absl::StatusOr<PeerPattern> peer = PeerPattern::Parse(texts[i]);
    if (!peer.ok()) {
      problems.Add(absl::StrCat(path, "[", i, "]"), peer.status().message());
      continue;
    }
    peers.push_back(*std::move(peer));
  }
  return peers;
}

template <typename Ports>
std::vector<uint16_t> PortsFromConfig(absl::string_view path, const Ports& numbers, ConfigProblems& problems) {
  std::vector<uint16_t> ports;
  for (int i = 0; i < numbers.size(); ++i) {
    if (numbers[i] < 1 || numbers[i] > 65535) {
      problems.Add(absl::StrCat(path, "[", i, "]"),
                   absl::StrCat(numbers[i], " is not a port; ports are 1 to 65535, and an empty list means all"));
      continue;
    }
    ports.push_back(static_cast<uint16_t>(numbers[i]));
  }
  return ports;
}

std::vector<Cidr> DestinationsFromConfig(absl::string_view path, const mesh::v1::Route& route,
                                         ConfigProblems& problems) {
  std::vector<Cidr> destinations;
  for (int i = 0; i < route.destinations_size(); ++i) {
    absl::StatusOr<Cidr> cidr = Cidr::Parse(route.destinations(i));
    if (!cidr.ok()) {
      problems.Add(absl::StrCat(path, ".destinations[", i, "]"), cidr.status().message());
      continue;
    }
    destinations.push_back(*std::move(cidr));
  }
  return destinations;
}

RouteAction ActionFromConfig(mesh::v1::RouteAction action, RouteAction fallback) {
  switch (action) {
    case mesh::v1::PASS_THROUGH:
      return RouteAction::kPassThrough;
    case mesh::v1::MUTUAL_TLS:
      return RouteAction::kMutualTls;
    case mesh::v1::REFUSE:
      return RouteAction::kRefuse;
    default:
      return fallback;
  }
}

Route RouteFromConfig(const std::string& path, const mesh::v1::Route& from, std::set<std::string>& seen,
                      ConfigProblems& problems) {
  CheckName(absl::StrCat(path, ".name"), from.name(), seen, problems);
  if (from.action() == mesh::v1::ROUTE_ACTION_UNSPECIFIED) {
    problems.Add(absl::StrCat(path, ".action"), "an action is required: mutual_tls, pass_through or refuse");
  }
  if (from.action() == mesh::v1::MUTUAL_TLS && from.peers().empty()) {
    problems.Add(absl::StrCat(path, ".peers"),
                 "mutual_tls needs at least one peer that may answer: a SPIFFE ID, or spiffe://trust.domain/*");
  }
  if ((from.action() == mesh::v1::PASS_THROUGH || from.action() == mesh::v1::REFUSE) && !from.peers().empty()) {
    problems.Add(absl::StrCat(path, ".peers"),
                 "peers have a meaning with action mutual_tls only: change the action or remove them");
  }
  return {from.name(), DestinationsFromConfig(path, from, problems),
          PortsFromConfig(absl::StrCat(path, ".ports"), from.ports(), problems),
          ActionFromConfig(from.action(), RouteAction::kRefuse),
          PeersFromConfig(absl::StrCat(path, ".peers"), from.peers(), problems)};
}

// A rule that allows nobody is a mistake; Create would name only the first.
void CheckAllowsSomebody(absl::string_view path, bool nobody, ConfigProblems& problems) {
  if (!nobody) return;
  problems.Add(path,
               "nobody could call: name at least one SPIFFE ID (or spiffe://trust.domain/*), or set allow_plaintext");
}

std::optional<SocketAddress> AddressFromConfig(absl::string_view path, const std::string& text,
                                               ConfigProblems& problems) {
  if (text.empty()) {
    problems.Add(path, "an address is required, such as 127.0.0.1:8080 or [::1]:8080");
    return std::nullopt;
  }
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) {
    problems.Add(path, address.status().message());
    return std::nullopt;
  }
  return *address;
}

struct ListenerBuilder {
  ConfiguredListeners out;
  std::vector<std::string> address_paths;
  ConfigProblems& problems;

  void Add(ListenerSpec spec, Route route, InboundPolicy policy, const std::string& address_path) {
    for (size_t i = 0; i < out.specs.size(); ++i) {
      if (!AddressesClash(out.specs[i].address, spec.address)) continue;
      problems.Add(address_path, absl::StrCat(spec.address.ToString(), " clashes with ", address_paths[i], " (",
                                              out.specs[i].address.ToString(), "); give each listener its own"));
    }
    out.specs.push_back(std::move(spec));
    out.routes.push_back(std::move(route));
    out.policies.push_back(std::move(policy));
    address_paths.push_back(address_path);
  }

  void AddCapture(const char* name, ListenerKind kind, const std::string& path, const std::string& text) {
    if (text.empty()) return;
    const std::optional<SocketAddress> address = AddressFromConfig(path, text, problems);
    if (address.has_value()) Add({name, kind, *address, ""}, {}, {}, path);
  }

  void AddOutbound(const std::string& name, const std::string& path, const config::OutboundListener& from) {
    CheckAddress(problems, absl::StrCat(path, ".destination"), from.destination(), AddressUse::kDialTcp);
    Route route{
        name, {}, {}, RouteAction::kMutualTls, PeersFromConfig(absl::StrCat(path, ".peers"), from.peers(), problems)};
    if (from.peers().empty()) {
      problems.Add(absl::StrCat(path, ".peers"),
                   "at least one peer that may answer is required: a SPIFFE ID, or spiffe://trust.domain/*");
    }
    const std::string address_path = absl::StrCat(path, ".address");
    const std::optional<SocketAddress> address = AddressFromConfig(address_path, from.address(), problems);
    if (!address.has_value()) return;
    Add({name, ListenerKind::kOutboundStatic, *address, from.destination()}, std::move(route), {}, address_path);
  }

  void AddInbound(const std::string& name, const std::string& path, const config::InboundListener& from) {
    CheckAddress(problems, absl::StrCat(path, ".destination"), from.destination(), AddressUse::kDialTcp);
    const std::string peers_path = absl::StrCat(path, ".peers");
    PolicyRule rule{name, {}, PeersFromConfig(peers_path, from.peers(), problems), from.allow_plaintext()};
    CheckAllowsSomebody(peers_path, from.peers().empty() && !from.allow_plaintext(), problems);
    const std::string address_path = absl::StrCat(path, ".address");
    const std::optional<SocketAddress> address = AddressFromConfig(address_path, from.address(), problems);
    absl::StatusOr<InboundPolicy> policy = InboundPolicy::Create({std::move(rule)});
    if (!address.has_value() || !policy.ok()) return;
    Add({name, ListenerKind::kInboundStatic, *address, from.destination()}, {}, *std::move(policy), address_path);
  }
};

}  // namespace

bool AddressesClash(const SocketAddress& a, const SocketAddress& b) {
  if (a.port() == 0 || a.port() != b.port()) return false;
  const std::string a_host = a.HostString(), b_host = b.HostString();
  const auto takes_all = [](absl::string_view host) { return host == "::" || host == "[::]"; };
  if (takes_all(a_host) || takes_all(b_host) || a_host == b_host) return true;
  return a.is_ipv4() && b.is_ipv4() && (a_host == "0.0.0.0" || b_host == "0.0.0.0");
}

RouteTable RoutesFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  std::set<std::string> seen = {kDefaultRoute};
  std::vector<Route> routes;
  for (int i = 0; i < config.routes_size(); ++i) {
    routes.push_back(RouteFromConfig(absl::StrCat("routes[", i, "]"), config.routes(i), seen, problems));
  }
  if (config.routes_size() > 0 && config.capture().outbound_address().empty()) {
    problems.Add("routes",
                 "routes are for captured connections and nothing is captured: set capture.outbound_address, or use "
                 "listeners");
  }
  if (config.default_route() == mesh::v1::MUTUAL_TLS) {
    problems.Add(
        "default_route",
        "mutual_tls needs peers, which a default has none of: make it the last of routes, without destinations");
  }
  return RouteTable(std::move(routes),
                    {kDefaultRoute, {}, {}, ActionFromConfig(config.default_route(), RouteAction::kPassThrough), {}});
}

InboundPolicy InboundFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  const mesh::v1::InboundPolicy& inbound = config.inbound();
  std::set<std::string> seen;
  std::vector<PolicyRule> rules;
  for (int i = 0; i < inbound.rules_size(); ++i) {
    const mesh::v1::InboundRule& from = inbound.rules(i);
    const std::string path = absl::StrCat("inbound.rules[", i, "]");
    CheckName(absl::StrCat(path, ".name"), from.name(), seen, problems);
    CheckAllowsSomebody(absl::StrCat(path, ".peers"), from.peers().empty() && !from.allow_plaintext(), problems);
    rules.push_back({from.name(), PortsFromConfig(absl::StrCat(path, ".ports"), from.ports(), problems),
                     PeersFromConfig(absl::StrCat(path, ".peers"), from.peers(), problems), from.allow_plaintext()});
  }
  if (inbound.rules_size() > 0 && config.capture().inbound_address().empty()) {
    problems.Add(
        "inbound.rules",
        "these rules are for captured connections and nothing is captured: set capture.inbound_address, or use "
        "listeners");
  }
  absl::StatusOr<InboundPolicy> policy = InboundPolicy::Create(std::move(rules));
  if (policy.ok()) return *std::move(policy);
  if (problems.empty()) problems.Add("inbound.rules", policy.status().message());
  return InboundPolicy();
}

ConfiguredListeners ListenersFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  ListenerBuilder builder{{}, {}, problems};
  builder.AddCapture(kCaptureOutbound, ListenerKind::kOutboundCapture, "capture.outbound_address",
                     config.capture().outbound_address());
  builder.AddCapture(kCaptureInbound, ListenerKind::kInboundCapture, "capture.inbound_address",
                     config.capture().inbound_address());
  std::set<std::string> seen = {kCaptureOutbound, kCaptureInbound};
  for (int i = 0; i < config.listeners_size(); ++i) {
    const config::Listener& from = config.listeners(i);
    const std::string path = absl::StrCat("listeners[", i, "]");
    CheckName(absl::StrCat(path, ".name"), from.name(), seen, problems);
    if (from.has_outbound()) {
      builder.AddOutbound(from.name(), absl::StrCat(path, ".outbound"), from.outbound());
    } else if (from.has_inbound()) {
      builder.AddInbound(from.name(), absl::StrCat(path, ".inbound"), from.inbound());
    } else {
      problems.Add(path, "a direction is required: outbound (plain in, mutual TLS out) or inbound");
    }
  }
  return std::move(builder.out);
}

}  // namespace lanyard
