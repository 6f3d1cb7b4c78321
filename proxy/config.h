// proxy.yaml as values that cannot be wrong (api/lanyard/config/proxy.proto is the syntax).
// Pure: the file's text and the environment are arguments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/config/log_config.h"
#include "identity/spiffe/spiffe_id.h"
#include "proxy/connection/access_log.h"
#include "proxy/control/identity_files.h"
#include "proxy/io/address.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

struct ProxySettings {
  // Fixed for the life of the process.
  std::string workload_api;  // as WorkloadApiAddress gave it; empty: `identity_files`
  std::optional<IdentityFiles> identity_files;
  std::optional<SpiffeId> spiffe_id;  // which SVID; nothing: the first
  std::string mesh_address;     // as WorkloadApiAddress gave it; empty: no mesh
  std::string mesh_state_file;  // empty: no mesh
  int workers = 1;
  std::optional<SocketAddress> admin;   // nothing: disabled
  std::string upgrade_socket;           // empty: none
  std::vector<ListenerSpec> listeners;  // at least one
  ConnectionLimits limits;              // of the whole process
  absl::Duration drain_deadline;
  bool session_resumption = true;         // of TLS, with proxies as peers
  bool mesh_protocol = true;              // with those that speak it
  LogSettings log;
  AccessLogSettings access_log;
  // May change while it runs.
  MeshRules rules;
  bool capture_rules = true;  // routes, default_route or inbound are written, or there is no mesh: they hold
};

// What the machine says.
struct ProxyEnvironment {
  std::string spiffe_endpoint_socket;  // $SPIFFE_ENDPOINT_SOCKET, may be empty
  int processors = 1;                  // the default of `workers`
  std::string state_directory = {};    // $STATE_DIRECTORY, may be empty
  std::string runtime_directory = {};  // $RUNTIME_DIRECTORY, may be empty
};

inline constexpr int kMaxWorkers = 256;
inline constexpr uint32_t kMaxConnections = 1 << 20;
inline constexpr uint32_t kMinBufferBytes = 4 << 10;
inline constexpr uint32_t kMaxBufferBytes = 16 << 20;
// Least of limits.max_buffered_bytes for each of max_connections: half is set aside for it, half is for all.
inline constexpr uint64_t kLeastBufferedBytesPerConnection = 8 << 10;
inline constexpr uint64_t kMaxBufferedBytes = uint64_t{1} << 40;
inline constexpr char kDefaultStateDirectory[] = "/var/lib/lanyard/proxy";
inline constexpr char kDefaultAdminAddress[] = "127.0.0.1:15000";

// InvalidArgument lists every mistake of `text`, each with its path, the value and the remedy; `file` is only
// named (and the default of mesh.state_file after it).
absl::StatusOr<ProxySettings> ParseProxySettings(absl::string_view text, absl::string_view file,
                                                 const ProxyEnvironment& environment);

// A worker's share of the process's limits, rounded up. The kernel spreads connections over workers by hash, so
// that one worker may reach its share before the process reaches the whole.
ConnectionLimits WorkerLimits(const ConnectionLimits& process, int workers);

// Names of the fixed settings in which two configurations differ: they need a restart.
std::vector<std::string> FixedDifferences(const ProxySettings& running, const ProxySettings& read);

}  // namespace lanyard
