#include "identity/cli/commands.h"

namespace lanyard {
namespace {

Flag TimeoutFlag() { return {.name = kTimeoutFlag, .help = "How long to wait for an answer", .fallback = "10s"}; }

template <typename Client>
absl::StatusOr<std::unique_ptr<Client>> ClientOf(const Arguments& arguments) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  const absl::StatusOr<absl::Duration> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  return std::make_unique<Client>(arguments.Value(kAuthoritySocketFlag), *timeout, *wait);
}

}  // namespace

std::vector<Flag> WithAuthorityFlags(std::vector<Flag> flags) {
  flags.push_back({.name = kAuthoritySocketFlag,
                   .help = "The authority's socket for operators",
                   .fallback = "/run/lanyard/authority.sock",
                   .environment = "LANYARD_AUTHORITY_SOCKET"});
  flags.push_back(TimeoutFlag());
  flags.push_back({.name = kWaitFlag, .help = "Wait so long for an authority that has just been started, such as 10s"});
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

absl::StatusOr<absl::Duration> WaitOf(const Arguments& arguments) {
  return arguments.Has(kWaitFlag) ? arguments.Duration(kWaitFlag) : absl::ZeroDuration();
}

absl::StatusOr<std::unique_ptr<RegistryClient>> AuthorityOf(const Arguments& arguments) {
  return ClientOf<RegistryClient>(arguments);
}

absl::StatusOr<std::unique_ptr<MeshRulesClient>> MeshRulesOf(const Arguments& arguments) {
  return ClientOf<MeshRulesClient>(arguments);
}

}  // namespace lanyard
