// lanyard-agent: recognises the workloads of its node and hands them their SVIDs.
#include <iostream>
#include <string>
#include <vector>

#include "identity/agent/agent.h"
#include "identity/base/logging.h"
#include "identity/base/process.h"
#include "identity/base/version.h"

namespace lanyard {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

constexpr char kHelp[] = R"(lanyard-agent recognises the workloads of its node and hands them their SVIDs.

Usage:
  lanyard-agent run --config FILE [--check-config]
  lanyard-agent version
  lanyard-agent --help

  --config FILE     the configuration, YAML or JSON
  --check-config    only check it: every mistake is reported, exit 0 if there is none

Examples:
  lanyard-agent run --config /etc/lanyard/agent.yaml
  lanyard-agent run --config agent.yaml --check-config

agent.yaml:
  trust_domain: example.org
  data_dir: /var/lib/lanyard/agent          # made with mode 0700; keys lie here
  authority:
    address: authority.example.org:7443
    bundle_file: /etc/lanyard/bundle.pem    # from `lanyard bundle show`
  attestation:
    join_token_file: /etc/lanyard/token     # from `lanyard token create`; used once
  workload_api:
    socket: /run/lanyard/agent.sock         # mode 0666: the kernel says who calls

Workloads reach it with SPIFFE_ENDPOINT_SOCKET=unix:///run/lanyard/agent.sock.
)";

int UsageError(const std::string& message) {
  std::cerr << "lanyard-agent: " << message << "; see lanyard-agent --help\n";
  return kExitUsage;
}

int Fail(const absl::Status& status) {
  std::cerr << "lanyard-agent: " << status.message() << "\n";
  return kExitFailure;
}

int Run(const std::string& config_file, bool only_check) {
  const absl::StatusOr<AgentSettings> settings = LoadAgentConfig(config_file);
  if (!settings.ok()) return Fail(settings.status());
  if (only_check) {
    std::cout << config_file << ": no mistakes\n";
    return 0;
  }
  InitLogging("agent", settings->log.format, settings->log.level);
  BlockStopAndReloadSignals();
  absl::StatusOr<std::unique_ptr<Agent>> agent = Agent::Start(*settings, SystemClock(), SystemRandom());
  if (!agent.ok()) {
    Log(LogLevel::kError, "cannot start", {{"error", agent.status()}});
    return kExitFailure;
  }
  const int signal_number = WaitForStopIgnoringReload();
  Log(LogLevel::kInfo, "stopping", {{"signal", signal_number}});
  agent->reset();
  Log(LogLevel::kInfo, "stopped", {});
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return UsageError("a command is missing");
  const std::string& command = arguments[0];
  if (command == "--help" || command == "-h" || command == "help") {
    std::cout << kHelp;
    return 0;
  }
  if (command == "version" || command == "--version") {
    std::cout << "lanyard-agent " << kVersion << "\n";
    return 0;
  }
  if (command != "run") return UsageError("there is no command \"" + command + "\"");
  std::string config_file;
  bool only_check = false;
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "--check-config") {
      only_check = true;
    } else if (arguments[i] == "--config" && i + 1 < arguments.size()) {
      config_file = arguments[++i];
    } else if (arguments[i] == "--help" || arguments[i] == "-h") {
      std::cout << kHelp;
      return 0;
    } else {
      return UsageError("unknown or incomplete option \"" + arguments[i] + "\"");
    }
  }
  if (config_file.empty()) return UsageError("run needs --config FILE");
  return Run(config_file, only_check);
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  // Before any key is read.
  const absl::Status hardened = lanyard::HardenProcess();
  if (!hardened.ok()) return lanyard::Fail(hardened);
  return lanyard::Main({argv + 1, argv + argc});
}
