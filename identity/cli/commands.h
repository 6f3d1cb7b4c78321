// The nouns of `lanyard`: each function describes one command with its children.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/cli/command_line.h"
#include "identity/cli/findings.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/registry_client.h"

namespace lanyard {

Command AgentCommand();
Command BanCommand();
Command BansCommand();
Command BundleCommand();
Command CaptureCommand();
Command CheckCommand();
Command EntryCommand();
Command MeshCommand();
Command PolicyCommand();
Command PolicyReplayCommand();
Command ProxyCommand();
Command RouteCommand();
Command SvidCommand();
Command TapCommand();
Command TokenCommand();
Command UnbanCommand();
Command VersionCommand();

// What `lanyard capture check` finds; `inbound`: with a connection from outside.
std::vector<Finding> CheckCapture(bool inbound, absl::Duration timeout);

// "apply", the same below `policy` and `route`: a file may hold both.
Command ApplyCommand(const std::string& noun);

// --authority-socket, --timeout and --wait, for commands that ask the authority.
std::vector<Flag> WithAuthorityFlags(std::vector<Flag> flags);
// The authority that those flags name.
absl::StatusOr<std::unique_ptr<RegistryClient>> AuthorityOf(const Arguments& arguments);
absl::StatusOr<std::unique_ptr<MeshRulesClient>> MeshRulesOf(const Arguments& arguments);
// --socket and --timeout, for commands that ask the agent.
std::vector<Flag> WithWorkloadApiFlags(std::vector<Flag> flags);

inline constexpr char kAuthoritySocketFlag[] = "--authority-socket";
inline constexpr char kWorkloadSocketFlag[] = "--socket";
inline constexpr char kTimeoutFlag[] = "--timeout";
inline constexpr char kWaitFlag[] = "--wait";

// Zero without --wait.
absl::StatusOr<absl::Duration> WaitOf(const Arguments& arguments);

}  // namespace lanyard
