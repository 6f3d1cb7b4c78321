// lanyard-proxy: the command line. Exit codes: 0 done, 1 it could not run, 2 the command line is wrong,
// 128 + n ended at once by a second signal n.
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "identity/base/atomic_file.h"
#include "identity/base/clock.h"
#include "identity/base/logging.h"
#include "identity/base/process.h"
#include "identity/base/version.h"
#include "identity/config/config_file.h"
#include "proxy/config.h"
#include "proxy/control/take_over.h"
#include "proxy/proxy.h"
#include "proxy/tls/vaes_gcm.h"

namespace lanyard {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr char kHelp[] = R"(lanyard-proxy carries a workload's TCP connections over mutual TLS, by SPIFFE identity.

usage:
  lanyard-proxy run --config FILE [--check-config] [--take-over FD]
  lanyard-proxy version
  lanyard-proxy --help

  --config FILE    YAML or JSON; its fields are described in api/lanyard/config/proxy.proto
  --check-config   only read the file: print "ok", or every mistake in it
  --take-over FD   as a running proxy starts another one that replaces it; see lanyard proxy upgrade --help

The identity comes from the Workload API (identity.workload_api, or SPIFFE_ENDPOINT_SOCKET in the environment) or
from PEM files. Connections are accepted from the first identity on. Rules (routes, inbound, listeners' peers,
on_svid_expiry) are re-read when the file changes; everything else needs a restart. SIGHUP reads it at once, and opens
access_log.path anew. SIGTERM or SIGINT drains and exits; a second one ends at once.

examples:
  # Transparent, beside a workload whose traffic `lanyard capture up` redirects:
  identity: {workload_api: "unix:///run/lanyard/agent.sock"}
  capture: {outbound_address: ":15001", inbound_address: ":15006"}
  routes: [{name: mesh, destinations: [10.0.0.0/8], action: mutual_tls, peers: ["spiffe://example.org/*"]}]
  inbound: {rules: [{name: web, ports: [8080], peers: ["spiffe://example.org/frontend"]}]}

  # Static, without capture:
  identity: {files: {certificate: svid.pem, key: key.pem, bundle: bundle.pem}}
  listeners:
    - name: to-web
      outbound: {address: "127.0.0.1:8080", destination: "10.0.0.2:15008", peers: ["spiffe://example.org/web"]}
)";

struct Arguments {
  std::string config_path;
  bool check_only = false;
  int take_over_fd = -1;
};

int UsageError(const std::string& message) {
  fprintf(stderr, "lanyard-proxy: %s; see lanyard-proxy --help\n", message.c_str());
  return kUsage;
}

// `take_over`, if any, tells the process that serves, which goes on.
int Failed(const absl::Status& status, TakeOver* take_over = nullptr) {
  if (take_over != nullptr) take_over->Failed(status);
  fprintf(stderr, "lanyard-proxy: %s\n", std::string(status.message()).c_str());
  return kFailed;
}

std::string Variable(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr ? "" : value;
}

UpgradeOptions UpgradeOptionsOfThisProcess() {
  UpgradeOptions options;
  std::error_code error;
  options.binary = std::filesystem::read_symlink("/proc/self/exe", error).string();
  options.notify_socket = Variable("NOTIFY_SOCKET");
  if (getpid() == 1) {
    options.refusal =
        "it is process 1 of its container, which would end with it: replace the container, or run it below an init";
  } else if (options.notify_socket.empty() && Variable("SYSTEMD_EXEC_PID") == std::to_string(getpid())) {
    options.refusal = "systemd would end the new proxy with this one: set Type=notify in its unit";
  } else if (options.binary.empty()) {
    options.refusal = "it cannot tell what it was started from; is /proc mounted?";
  }
  return options;
}

// A drain can take as long as its deadline; who asks twice does not want to wait.
void EndAtSecondSignal() {
  std::thread([] {
    const int signal_number = WaitForStopSignal();
    Log(LogLevel::kWarning, "ended at once by a second signal", {{"signal", signal_number}});
    _exit(128 + signal_number);
  }).detach();
}

int Serve(Proxy::Options options) {
  TakeOver* const take_over = options.take_over;
  // Each arena keeps what it once had: one a busy thread is enough.
  mallopt(M_ARENA_MAX, options.settings.workers + 1);
  BlockStopSignals();
  absl::StatusOr<std::unique_ptr<Proxy>> proxy = Proxy::Create(std::move(options));
  if (!proxy.ok()) {
    Log(LogLevel::kError, "cannot start", {{"error", proxy.status()}});
    if (take_over != nullptr) take_over->Failed(proxy.status());
    return kFailed;
  }
  (*proxy)->Start();
  while (WaitForStopOrReloadSignal() == SIGHUP) (*proxy)->Reload();
  EndAtSecondSignal();
  (*proxy)->Drain();
  return 0;
}

int Run(const Arguments& arguments) {
  BlockReloadSignal();  // from the first moment on, or it would end us
  ProxyEnvironment environment{Variable("SPIFFE_ENDPOINT_SOCKET"), AvailableProcessors(),
                               Variable("STATE_DIRECTORY"), Variable("RUNTIME_DIRECTORY")};
  std::unique_ptr<TakeOver> take_over;
  if (arguments.take_over_fd >= 0) {
    absl::StatusOr<std::unique_ptr<TakeOver>> received = TakeOver::Receive(Passage(UniqueFd(arguments.take_over_fd)));
    if (!received.ok()) return Failed(received.status());
    take_over = *std::move(received);
  }
  absl::StatusOr<std::string> text = ReadFile(arguments.config_path, kConfigSizeLimitBytes);
  if (!text.ok()) return Failed(text.status(), take_over.get());
  absl::StatusOr<ProxySettings> settings = ParseProxySettings(*text, arguments.config_path, environment);
  if (!settings.ok()) return Failed(settings.status(), take_over.get());
  if (arguments.check_only) {
    puts("ok");
    return 0;
  }
  InitLogging("proxy", settings->log.format, settings->log.level);
  LogNeverWaits();  // strangers have lines written, and workers write them
  Log(LogLevel::kInfo, "lanyard-proxy",
      {{"version", kVersion}, {"aes_gcm", VaesGcm::IsUsable() ? "IPsec MB" : "BoringSSL"}});
  return Serve({.config_path = arguments.config_path,
                .config_text = *std::move(text),
                .settings = *std::move(settings),
                .environment = std::move(environment),
                .clock = &SystemClock(),
                .take_over = take_over.get(),
                .upgrade = UpgradeOptionsOfThisProcess()});
}

int RunCommand(int argc, char** argv) {
  Arguments arguments;
  for (int i = 2; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--check-config") {
      arguments.check_only = true;
    } else if (argument == "--config") {
      if (++i == argc) return UsageError("--config needs a file");
      arguments.config_path = argv[i];
    } else if (argument == "--take-over") {
      if (++i == argc || !absl::SimpleAtoi(argv[i], &arguments.take_over_fd) || arguments.take_over_fd < 3) {
        return UsageError("--take-over needs the number of a descriptor");
      }
    } else if (argument.substr(0, 9) == "--config=") {
      arguments.config_path = std::string(argument.substr(9));
    } else {
      return UsageError("unknown argument \"" + std::string(argument) + "\"");
    }
  }
  if (arguments.config_path.empty()) return UsageError("run needs --config FILE");
  return Run(arguments);
}

int Main(int argc, char** argv) {
  if (const absl::Status hardened = HardenProcess(); !hardened.ok()) return Failed(hardened);
  const absl::string_view command = argc > 1 ? argv[1] : "";
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument != "--help" && argument != "-h" && !(i == 1 && argument == "help")) continue;
    fputs(kHelp, stdout);
    return 0;
  }
  if (command == "run") return RunCommand(argc, argv);
  if (command != "version" && command != "--version") {
    return UsageError(command.empty() ? "a command is missing" : "unknown command \"" + std::string(command) + "\"");
  }
  if (argc > 2) return UsageError("version takes no arguments");
  printf("lanyard-proxy %s\n", kVersion);
  return 0;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) { return lanyard::Main(argc, argv); }
