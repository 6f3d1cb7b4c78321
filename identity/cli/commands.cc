#include "identity/cli/commands.h"

namespace lanyard {
namespace {

Flag TimeoutFlag() { return {.name = kTimeoutFlag, .help = "How long to wait for an answer", .fallback = "10s"}; }

}  // namespace

std::vector<Flag> WithAuthorityFlags(std::vector<Flag> flags) {
  flags.push_back({.name = kAuthoritySocketFlag,
                   .help = "The authority's socket for operators",
                   .fallback = "/run/lanyard/authority.sock",
                   .environment = "LANYARD_AUTHORITY_SOCKET"});
  flags.push_back(TimeoutFlag());
  return flags;
}

std::vector<Flag> WithWorkloadApiFlags(std::vector<Flag> flags) {
  flags.push_back({.name = kWorkloadSocketFlag,
                   .help = "The agent's Workload API",
                   .fallback = "unix:///run/lanyard/agent.sock",
                   .environment = "SPIFFE_ENDPOINT_SOCKET"});
  flags.push_back(TimeoutFlag());
  return flags;
}

absl::StatusOr<std::unique_ptr<RegistryClient>> AuthorityOf(const Arguments& arguments) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  return std::make_unique<RegistryClient>(arguments.Value(kAuthoritySocketFlag), *timeout);
}

absl::StatusOr<std::unique_ptr<MeshRulesClient>> MeshRulesOf(const Arguments& arguments) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  return std::make_unique<MeshRulesClient>(arguments.Value(kAuthoritySocketFlag), *timeout);
}

}  // namespace lanyard
