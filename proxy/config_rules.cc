#include "proxy/config_rules.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/config/checks.h"
#include "identity/config/config_file.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

constexpr char kCaptureOutbound[] = "capture-outbound";
constexpr char kCaptureInbound[] = "capture-inbound";
constexpr char kDefaultRoute[] = "default";

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

constexpr absl::Duration kHeaderTimeout = absl::Seconds(5);
constexpr absl::Duration kMostHeaderTimeout = absl::Hours(1);

AcceptedHeader AcceptedHeaderFromConfig(const std::string& path, bool present, const config::AcceptProxyProtocol& from,
                                        ConfigProblems& problems) {
  AcceptedHeader accepted;
  if (!present) return accepted;
  if (from.from().empty()) {
    problems.Add(absl::StrCat(path, ".from"), "at least one CIDR is required: the load balancers', as 10.0.0.7/32");
  }
  for (int i = 0; i < from.from_size(); ++i) {
    absl::StatusOr<AddressBlock> block = AddressBlock::Parse(from.from(i));
    if (block.ok()) {
      accepted.from.push_back(*std::move(block));
    } else {
      problems.Add(absl::StrCat(path, ".from[", i, "]"), block.status().message());
    }
  }
  accepted.timeout = DurationOr(from.has_timeout(), from.timeout(), kHeaderTimeout);
  CheckDuration(problems, absl::StrCat(path, ".timeout"), accepted.timeout, absl::Milliseconds(1), kMostHeaderTimeout);
  return accepted;
}

ProxyProtocol VersionFromConfig(config::ProxyProtocol version) {
  switch (version) {
    case config::V1: return ProxyProtocol::kV1;
    case config::V2: return ProxyProtocol::kV2;
    default: return ProxyProtocol::kNone;
  }
}

std::vector<ServerHeader> ServerHeadersFromConfig(const config::Capture& capture, ConfigProblems& problems) {
  std::vector<ServerHeader> headers;
  for (int i = 0; i < capture.proxy_protocol_size(); ++i) {
    const config::ServerHeader& from = capture.proxy_protocol(i);
    const std::string path = absl::StrCat("capture.proxy_protocol[", i, "]");
    ServerHeader header{{}, VersionFromConfig(from.version())};
    if (header.version == ProxyProtocol::kNone) problems.Add(absl::StrCat(path, ".version"), "write V1 or V2");
    for (int p = 0; p < from.ports_size(); ++p) {
      header.ports.push_back(static_cast<uint16_t>(from.ports(p)));
      if (from.ports(p) >= 1 && from.ports(p) <= 65535) continue;
      problems.Add(absl::StrCat(path, ".ports[", p, "]"), absl::StrCat(from.ports(p), " is no port: write 1 to 65535"));
    }
    headers.push_back(std::move(header));
  }
  if (!headers.empty() && capture.inbound_address().empty()) {
    problems.Add("capture.proxy_protocol",
                 "this is for captured inbound connections and none are: set capture.inbound_address, or a listener's "
                 "inbound.proxy_protocol");
  }
  return headers;
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

  void AddCapture(const char* name, ListenerKind kind, const std::string& path, const std::string& text,
                  const config::Capture& from, std::vector<ServerHeader> headers) {
    if (text.empty()) return;
    const std::optional<SocketAddress> address = AddressFromConfig(path, text, problems);
    if (!address.has_value()) return;
    ListenerSpec spec{name, kind, *address, ""};
    spec.transparent = from.mode() == config::TPROXY;
    spec.preserve_source = kind == ListenerKind::kInboundCapture && from.preserve_source();
    spec.server_headers = std::move(headers);
    Add(std::move(spec), {}, {}, path);
  }

  void CheckCapture(const config::Capture& from) {
    if (from.preserve_source() && from.inbound_address().empty()) {
      problems.Add("capture.preserve_source",
                   "it is for captured inbound connections, and none is captured: set capture.inbound_address");
    }
    if (from.mode() == config::TPROXY && from.inbound_address().empty() && from.outbound_address().empty()) {
      problems.Add("capture.mode", "nothing is captured: set capture.outbound_address or capture.inbound_address");
    }
  }

  void AddOutbound(const std::string& name, const std::string& path, const config::OutboundListener& from) {
    CheckAddress(problems, absl::StrCat(path, ".destination"), from.destination(), AddressUse::kDialTcp);
    Route route{
        name, {}, {}, RouteAction::kMutualTls, PeersFromProto(absl::StrCat(path, ".peers"), from.peers(), problems)};
    if (from.peers().empty()) {
      problems.Add(absl::StrCat(path, ".peers"),
                   "at least one peer that may answer is required: a SPIFFE ID, or spiffe://trust.domain/*");
    }
    const std::string address_path = absl::StrCat(path, ".address");
    const std::optional<SocketAddress> address = AddressFromConfig(address_path, from.address(), problems);
    AcceptedHeader accepted = AcceptedHeaderFromConfig(
        absl::StrCat(path, ".accept_proxy_protocol"), from.has_accept_proxy_protocol(), from.accept_proxy_protocol(),
        problems);
    if (!address.has_value()) return;
    ListenerSpec spec{name, ListenerKind::kOutboundStatic, *address, from.destination()};
    spec.accepted_header = std::move(accepted);
    Add(std::move(spec), std::move(route), {}, address_path);
  }

  void AddInbound(const std::string& name, const std::string& path, const config::InboundListener& from) {
    CheckAddress(problems, absl::StrCat(path, ".destination"), from.destination(), AddressUse::kDialTcp);
    const std::string peers_path = absl::StrCat(path, ".peers");
    PolicyRule rule{name, {}, PeersFromProto(peers_path, from.peers(), problems), from.allow_plaintext()};
    CheckAllowsSomebody(peers_path, from.peers().empty() && !from.allow_plaintext(), problems);
    const std::string address_path = absl::StrCat(path, ".address");
    const std::optional<SocketAddress> address = AddressFromConfig(address_path, from.address(), problems);
    absl::StatusOr<InboundPolicy> policy = InboundPolicy::Create({std::move(rule)});
    AcceptedHeader accepted = AcceptedHeaderFromConfig(
        absl::StrCat(path, ".accept_proxy_protocol"), from.has_accept_proxy_protocol(), from.accept_proxy_protocol(),
        problems);
    if (!address.has_value() || !policy.ok()) return;
    ListenerSpec spec{name, ListenerKind::kInboundStatic, *address, from.destination()};
    spec.accepted_header = std::move(accepted);
    const ProxyProtocol version = VersionFromConfig(from.proxy_protocol());
    if (version != ProxyProtocol::kNone) spec.server_headers = {{{}, version}};
    Add(std::move(spec), {}, *std::move(policy), address_path);
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
  std::vector<Route> routes =
      RoutesFromProto("routes", config.routes(), RuleNames::kWritten, {kDefaultRoute}, problems);
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
  return RouteTable(
      std::move(routes),
      {kDefaultRoute, {}, {}, RouteActionFromProto(config.default_route(), RouteAction::kPassThrough), {}});
}

InboundPolicy InboundFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  if (config.inbound().rules_size() > 0 && config.capture().inbound_address().empty()) {
    problems.Add(
        "inbound.rules",
        "these rules are for captured connections and nothing is captured: set capture.inbound_address, or use "
        "listeners");
  }
  return InboundPolicyFromProto("inbound.rules", config.inbound().rules(), RuleNames::kWritten, problems);
}

BanSet BansFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  for (int i = 0; i < config.bans_size(); ++i) {
    if (!config.bans(i).has_agent()) continue;
    problems.Add(absl::StrCat("bans[", i, "].agent"),
                 "an agent is banned at the authority, which knows what it was issued: `lanyard ban agent:...`");
  }
  return BanSet(BansFromProto("bans", config.bans(), problems));
}

ConfiguredListeners ListenersFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  ListenerBuilder builder{{}, {}, problems};
  builder.AddCapture(kCaptureOutbound, ListenerKind::kOutboundCapture, "capture.outbound_address",
                     config.capture().outbound_address(), config.capture(), {});
  builder.AddCapture(kCaptureInbound, ListenerKind::kInboundCapture, "capture.inbound_address",
                     config.capture().inbound_address(), config.capture(),
                     ServerHeadersFromConfig(config.capture(), problems));
  builder.CheckCapture(config.capture());
  std::set<std::string> seen = {kCaptureOutbound, kCaptureInbound};
  for (int i = 0; i < config.listeners_size(); ++i) {
    const config::Listener& from = config.listeners(i);
    const std::string path = absl::StrCat("listeners[", i, "]");
    CheckRuleName(absl::StrCat(path, ".name"), from.name(), seen, problems);
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
