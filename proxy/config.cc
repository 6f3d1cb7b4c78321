#include "proxy/config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "api/lanyard/config/proxy.pb.h"
#include "identity/config/checks.h"
#include "identity/config/config_file.h"
#include "identity/workload/watch.h"
#include "proxy/config_rules.h"

namespace lanyard {
namespace {

struct DurationRange {
  absl::Duration fallback;
  absl::Duration min;
  absl::Duration max;
};

absl::Duration DurationFromConfig(absl::string_view path, bool present, const google::protobuf::Duration& from,
                                  DurationRange range, ConfigProblems& problems) {
  const absl::Duration value = DurationOr(present, from, range.fallback);
  CheckDuration(problems, path, value, range.min, range.max);
  return value;
}

struct NumberRange {
  uint32_t fallback;
  uint32_t min;
  uint32_t max;
};

uint32_t NumberFromConfig(absl::string_view path, uint32_t value, NumberRange range, ConfigProblems& problems) {
  if (value == 0) return range.fallback;  // proto3: not written
  if (value >= range.min && value <= range.max) return value;
  problems.Add(path, absl::StrCat(value, " is out of range: write ", range.min, " to ", range.max));
  return range.fallback;
}

std::optional<IdentityFiles> FilesFromConfig(const config::IdentityFiles& from, ConfigProblems& problems) {
  const std::pair<const char*, const std::string*> required[] = {
      {"certificate", &from.certificate()}, {"key", &from.key()}, {"bundle", &from.bundle()}};
  for (const auto& [name, value] : required) {
    if (!value->empty()) continue;
    problems.Add(absl::StrCat("identity.files.", name), "the path of a PEM file is required");
  }
  IdentityFiles files{from.certificate(), from.key(), from.bundle(), {}};
  for (const auto& [name, path] : from.federated_bundles()) {
    const std::string at = absl::StrCat("identity.files.federated_bundles.", name);
    absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(name);
    if (!trust_domain.ok()) {
      problems.Add(at, trust_domain.status().message());
    } else if (path.empty()) {
      problems.Add(at, "the path of a PEM file is required");
    } else {
      files.federated_bundles.emplace(*std::move(trust_domain), path);
    }
  }
  return files;
}

void IdentityFromConfig(const config::Identity& from, const ProxyEnvironment& environment, ProxySettings& settings,
                        ConfigProblems& problems) {
  if (!from.spiffe_id().empty() && CheckWorkloadId(problems, "identity.spiffe_id", from.spiffe_id())) {
    settings.spiffe_id = *SpiffeId::Parse(from.spiffe_id());
  }
  if (from.has_files() && !from.workload_api().empty()) {
    return problems.Add("identity", "workload_api and files exclude each other: remove one");
  }
  if (from.has_files()) {
    settings.identity_files = FilesFromConfig(from.files(), problems);
    return;
  }
  absl::StatusOr<std::string> address = WorkloadApiAddress(from.workload_api(), environment.spiffe_endpoint_socket);
  if (address.ok()) {
    settings.workload_api = *std::move(address);
  } else if (from.workload_api().empty() && environment.spiffe_endpoint_socket.empty()) {
    problems.Add(
        "identity",
        "nothing says where the identity comes from: set workload_api (unix:///run/lanyard/agent.sock), files, "
        "or SPIFFE_ENDPOINT_SOCKET in the environment");
  } else {
    problems.Add("identity.workload_api", address.status().message());
  }
}

// Of several proxies on a machine each has a configuration of its own.
std::string DefaultStateFile(absl::string_view file, const ProxyEnvironment& environment) {
  if (!environment.state_directory.empty()) return absl::StrCat(environment.state_directory, "/mesh.view");
  const absl::string_view name = absl::StripPrefix(file, "/");
  return absl::StrCat(kDefaultStateDirectory, "/", absl::StrReplaceAll(name, {{"/", "-"}}), ".view");
}

void MeshFromConfig(const config::ProxyConfig& config, absl::string_view file, const ProxyEnvironment& environment,
                    ProxySettings& settings, ConfigProblems& problems) {
  const config::Mesh& from = config.mesh();
  if (from.disabled()) {
    if (from.address().empty() && from.state_file().empty()) return;
    return problems.Add("mesh", "disabled excludes address and state_file: remove one");
  }
  settings.mesh_address = settings.workload_api;
  if (!from.address().empty()) {
    absl::StatusOr<std::string> address = WorkloadApiAddress(from.address(), "");
    if (!address.ok()) return problems.Add("mesh.address", address.status().message());
    settings.mesh_address = *std::move(address);
  }
  if (settings.mesh_address.empty()) {
    if (from.state_file().empty()) return;
    return problems.Add("mesh.state_file", "there is no mesh to keep a view of: set mesh.address (the agent's socket)");
  }
  settings.mesh_state_file = from.state_file().empty() ? DefaultStateFile(file, environment) : from.state_file();
  settings.capture_rules = config.routes_size() > 0 || config.has_inbound() ||
                           config.default_route() != mesh::v1::ROUTE_ACTION_UNSPECIFIED;
}

void AdminFromConfig(const config::Admin& from, ProxySettings& settings, ConfigProblems& problems) {
  if (from.disabled()) {
    if (from.address().empty()) return;
    return problems.Add("admin", "disabled and address exclude each other: remove one");
  }
  const std::string text = from.address().empty() ? kDefaultAdminAddress : from.address();
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) return problems.Add("admin.address", address.status().message());
  // Whoever can reach it sees every connection: all interfaces only in so many words.
  if (text.front() == ':') {
    return problems.Add("admin.address", absl::StrCat("\"", text, "\" would let every network read it: write 127.0.0.1",
                                                      text, ", or 0.0.0.0", text, " if that is meant"));
  }
  for (const ListenerSpec& listener : settings.listeners) {
    if (!AddressesClash(listener.address, *address)) continue;
    problems.Add("admin.address", absl::StrCat(text, " clashes with listener ", listener.name, " (",
                                               listener.address.ToString(), "); give each its own"));
  }
  settings.admin = *address;
}

// What keeps one peer, one host or one slow receiver from having it all.
void SharesFromConfig(const config::Limits& from, ConnectionLimits& limits, ConfigProblems& problems) {
  limits.max_connections_per_peer = NumberFromConfig(
      "limits.max_connections_per_peer", from.max_connections_per_peer(), {0, 1, kMaxConnections}, problems);
  limits.max_connections_per_source =
      NumberFromConfig("limits.max_connections_per_source", from.max_connections_per_source(),
                       {limits.max_handshakes - limits.max_handshakes / 4, 1, kMaxConnections}, problems);
  const uint64_t least = limits.max_connections * kLeastBufferedBytesPerConnection;
  const ConnectionLimits defaults;
  limits.max_buffered_bytes =
      from.max_buffered_bytes() == 0 ? std::max(defaults.max_buffered_bytes, least) : from.max_buffered_bytes();
  if (limits.max_buffered_bytes < least || limits.max_buffered_bytes > kMaxBufferedBytes) {
    problems.Add("limits.max_buffered_bytes",
                 absl::StrCat(limits.max_buffered_bytes, " is out of range: write ", least, " (",
                              kLeastBufferedBytesPerConnection, " for each of limits.max_connections) to ",
                              kMaxBufferedBytes, ", or lower limits.max_connections"));
  }
}

void UpgradeFromConfig(const config::Upgrade& from, const ProxyEnvironment& environment, ProxySettings& settings,
                       ConfigProblems& problems) {
  constexpr size_t kMaxPathBytes = 107;  // of a Unix socket
  if (from.disabled()) {
    if (from.socket().empty()) return;
    return problems.Add("upgrade", "disabled and socket exclude each other: remove one");
  }
  settings.upgrade_socket = from.socket();
  if (from.socket().empty() && !environment.runtime_directory.empty()) {
    settings.upgrade_socket = absl::StrCat(environment.runtime_directory, "/upgrade.sock");
  }
  const std::string& path = settings.upgrade_socket;
  if (path.size() > kMaxPathBytes || (!path.empty() && path.front() != '/')) {
    problems.Add("upgrade.socket", absl::StrCat("\"", path, "\" cannot be a socket's path: write an absolute one of at "
                                                "most ", kMaxPathBytes, " bytes"));
  }
}

ConnectionLimits LimitsFromConfig(const config::Limits& from, ConfigProblems& problems) {
  const ConnectionLimits defaults;
  const absl::Duration millisecond = absl::Milliseconds(1), hour = absl::Hours(1);
  ConnectionLimits limits;
  limits.max_connections = NumberFromConfig("limits.max_connections", from.max_connections(),
                                            {defaults.max_connections, 1, kMaxConnections}, problems);
  limits.max_handshakes = NumberFromConfig("limits.max_handshakes", from.max_handshakes(),
                                           {defaults.max_handshakes, 1, kMaxConnections}, problems);
  limits.buffer_bytes = NumberFromConfig("limits.buffer_bytes", from.buffer_bytes(),
                                         {defaults.buffer_bytes, kMinBufferBytes, kMaxBufferBytes}, problems);
  limits.connect_timeout =
      DurationFromConfig("limits.connect_timeout", from.has_connect_timeout(), from.connect_timeout(),
                         {defaults.connect_timeout, millisecond, hour}, problems);
  limits.handshake_timeout =
      DurationFromConfig("limits.handshake_timeout", from.has_handshake_timeout(), from.handshake_timeout(),
                         {defaults.handshake_timeout, millisecond, hour}, problems);
  limits.sniff_timeout = DurationFromConfig("limits.sniff_timeout", from.has_sniff_timeout(), from.sniff_timeout(),
                                            {defaults.sniff_timeout, millisecond, absl::Seconds(30)}, problems);
  limits.idle_timeout = DurationFromConfig("limits.idle_timeout", from.has_idle_timeout(), from.idle_timeout(),
                                           {defaults.idle_timeout, absl::ZeroDuration(), 24 * 365 * hour}, problems);
  limits.first_byte_timeout =
      DurationFromConfig("limits.first_byte_timeout", from.has_first_byte_timeout(), from.first_byte_timeout(),
                         {defaults.first_byte_timeout, absl::ZeroDuration(), 24 * 365 * hour}, problems);
  limits.half_closed_timeout =
      DurationFromConfig("limits.half_closed_timeout", from.has_half_closed_timeout(), from.half_closed_timeout(),
                         {defaults.half_closed_timeout, absl::ZeroDuration(), 24 * 365 * hour}, problems);
  SharesFromConfig(from, limits, problems);
  return limits;
}

void MeshLinksFromConfig(const config::MeshLinks& from, ConnectionLimits& limits, ConfigProblems& problems) {
  const absl::Duration millisecond = absl::Milliseconds(1), hour = absl::Hours(1);
  const ConnectionLimits defaults;
  limits.max_idle_links = NumberFromConfig("mesh_links.max_idle", from.max_idle(),
                                           {defaults.max_idle_links, 1, kMaxConnections}, problems);
  limits.max_idle_links_per_destination =
      NumberFromConfig("mesh_links.max_idle_per_destination", from.max_idle_per_destination(),
                       {std::min(defaults.max_idle_links_per_destination, limits.max_idle_links), 1, kMaxConnections},
                       problems);
  limits.max_link_handshakes = NumberFromConfig("mesh_links.max_handshakes", from.max_handshakes(),
                                                {defaults.max_link_handshakes, 1, kMaxConnections}, problems);
  limits.idle_link_timeout =
      DurationFromConfig("mesh_links.idle_timeout", from.has_idle_timeout(), from.idle_timeout(),
                         {defaults.idle_link_timeout, absl::Seconds(1), 24 * hour}, problems);
  limits.link_ping_after =
      DurationFromConfig("mesh_links.ping_after", from.has_ping_after(), from.ping_after(),
                         {defaults.link_ping_after, absl::ZeroDuration(), 24 * hour}, problems);
  limits.link_ping_timeout =
      DurationFromConfig("mesh_links.ping_timeout", from.has_ping_timeout(), from.ping_timeout(),
                         {defaults.link_ping_timeout, millisecond, hour}, problems);
  if (limits.max_idle_links_per_destination > limits.max_idle_links) {
    problems.Add("mesh_links.max_idle_per_destination",
                 absl::StrCat(limits.max_idle_links_per_destination, " is more than the ", limits.max_idle_links,
                              " of mesh_links.max_idle: lower it or raise max_idle"));
  }
}

AccessLogSettings AccessLogFromConfig(const config::ProxyConfig& config, ConfigProblems& problems) {
  AccessLogSettings settings;
  if (!config.has_access_log()) return settings;
  const config::AccessLog& from = config.access_log();
  settings.apart = true;
  settings.path = from.path();
  settings.json = from.format() != "text";
  if (!from.format().empty() && from.format() != "text" && from.format() != "json") {
    problems.Add("access_log.format", absl::StrCat("\"", from.format(), "\" must be one of text, json"));
  }
  if (!from.path().empty() && from.path().front() != '/') {
    problems.Add("access_log.path", absl::StrCat("\"", from.path(), "\" is not an absolute path; write one"));
  }
  if (from.sample().has_ok()) settings.sample_ok = from.sample().ok();
  if (!(settings.sample_ok >= 0 && settings.sample_ok <= 1)) {
    problems.Add("access_log.sample.ok", absl::StrCat(settings.sample_ok, " is out of range: write 0 to 1"));
  }
  settings.max_ordinary_per_second =
      NumberFromConfig("access_log.max_ordinary_per_second", from.max_ordinary_per_second(),
                       {settings.max_ordinary_per_second, 1, 1'000'000}, problems);
  return settings;
}

OnSvidExpiry ExpiryFromConfig(config::SvidExpiry expiry) {
  switch (expiry) {
    case config::KEEP: return OnSvidExpiry::kKeep;
    case config::CLOSE: return OnSvidExpiry::kClose;
    default: return OnSvidExpiry::kReauthenticate;
  }
}

ProxySettings SettingsFromConfig(const config::ProxyConfig& config, absl::string_view file,
                                 const ProxyEnvironment& environment, ConfigProblems& problems) {
  ProxySettings settings;
  IdentityFromConfig(config.identity(), environment, settings, problems);
  MeshFromConfig(config, file, environment, settings, problems);
  const uint32_t processors = std::clamp(environment.processors, 1, kMaxWorkers);
  settings.workers = NumberFromConfig("workers", config.workers(), {processors, 1, kMaxWorkers}, problems);
  ConfiguredListeners listeners = ListenersFromConfig(config, problems);
  if (config.listeners().empty() && config.capture().outbound_address().empty() &&
      config.capture().inbound_address().empty()) {
    problems.Add("listeners",
                 "there is nothing to listen on: set capture.outbound_address, capture.inbound_address, or listeners");
  }
  settings.listeners = std::move(listeners.specs);
  settings.rules = {RoutesFromConfig(config, problems), InboundFromConfig(config, problems),
                    std::move(listeners.routes), std::move(listeners.policies),
                    ExpiryFromConfig(config.on_svid_expiry()),
                    BansFromConfig(config, problems)};
  AdminFromConfig(config.admin(), settings, problems);
  UpgradeFromConfig(config.upgrade(), environment, settings, problems);
  settings.limits = LimitsFromConfig(config.limits(), problems);
  MeshLinksFromConfig(config.mesh_links(), settings.limits, problems);
  if (settings.limits.max_connections < static_cast<uint32_t>(settings.workers)) {
    problems.Add("limits.max_connections",
                 absl::StrCat(settings.limits.max_connections, " is fewer than the ", settings.workers,
                              " workers that share it: raise it or lower workers"));
  }
  settings.drain_deadline = DurationFromConfig("drain_deadline", config.has_drain_deadline(), config.drain_deadline(),
                                               {absl::Seconds(30), absl::ZeroDuration(), absl::Hours(24)}, problems);
  settings.session_resumption = !config.tls().full_handshakes();
  settings.mesh_protocol = !config.tls().plain();
  settings.log = LogFromConfig(config.log(), "log", problems);
  settings.access_log = AccessLogFromConfig(config, problems);
  return settings;
}

bool SameListeners(const std::vector<ListenerSpec>& a, const std::vector<ListenerSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const ListenerSpec& x, const ListenerSpec& y) {
    return x.name == y.name && x.kind == y.kind && x.address == y.address && x.destination == y.destination &&
           x.transparent == y.transparent && x.preserve_source == y.preserve_source &&
           x.accepted_header == y.accepted_header && x.server_headers == y.server_headers;
  });
}

template <typename Number>
Number Share(Number whole, int workers) {
  return (whole + static_cast<Number>(workers) - 1) / static_cast<Number>(workers);
}

}  // namespace

absl::StatusOr<ProxySettings> ParseProxySettings(absl::string_view text, absl::string_view file,
                                                 const ProxyEnvironment& environment) {
  config::ProxyConfig config;
  ConfigProblems problems;
  ParseConfig(text, config, problems);
  ProxySettings settings = SettingsFromConfig(config, file, environment, problems);
  if (!problems.empty()) return problems.ToStatus(file);
  return settings;
}

ConnectionLimits WorkerLimits(const ConnectionLimits& process, int workers) {
  ConnectionLimits share = process;
  share.max_connections = Share(process.max_connections, workers);
  share.max_handshakes = Share(process.max_handshakes, workers);
  share.max_buffered_bytes = Share(process.max_buffered_bytes, workers);
  share.max_idle_links = Share(process.max_idle_links, workers);
  share.max_idle_links_per_destination = Share(process.max_idle_links_per_destination, workers);
  share.max_link_handshakes = Share(process.max_link_handshakes, workers);
  return share;
}

std::vector<std::string> FixedDifferences(const ProxySettings& running, const ProxySettings& read) {
  std::vector<std::string> names;
  const auto compare = [&](const char* name, bool same) {
    if (!same) names.push_back(name);
  };
  compare("identity", running.workload_api == read.workload_api && running.identity_files == read.identity_files &&
                          running.spiffe_id == read.spiffe_id);
  compare("mesh", running.mesh_address == read.mesh_address && running.mesh_state_file == read.mesh_state_file);
  compare("workers", running.workers == read.workers);
  compare("admin", running.admin == read.admin);
  compare("upgrade", running.upgrade_socket == read.upgrade_socket);
  compare("capture or listeners' names, addresses, destinations and PROXY protocol",
          SameListeners(running.listeners, read.listeners));
  compare("limits or mesh_links", running.limits == read.limits);
  compare("drain_deadline", running.drain_deadline == read.drain_deadline);
  compare("tls", running.session_resumption == read.session_resumption && running.mesh_protocol == read.mesh_protocol);
  compare("access_log", running.access_log == read.access_log);
  compare("log", running.log.level == read.log.level && running.log.format == read.log.format);
  return names;
}

}  // namespace lanyard
