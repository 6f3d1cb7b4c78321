// lanyard-authority: flags, then Authority.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "identity/authority/authority.h"
#include "identity/authority/config.h"
#include "identity/base/clock.h"
#include "identity/base/logging.h"
#include "identity/base/process.h"
#include "identity/base/random.h"
#include "identity/base/version.h"

namespace {

using lanyard::Log;
using lanyard::LogLevel;

constexpr absl::Duration kStopGrace = absl::Seconds(5);

constexpr char kUsage[] = R"(lanyard-authority: signs the SPIFFE identities of one trust domain.

Usage:
  lanyard-authority run --config FILE [--check-config]
  lanyard-authority version

  --config FILE     YAML or JSON; see the example.
  --check-config    report every mistake in FILE and start nothing.

Examples:
  lanyard-authority run --config /etc/lanyard/authority.yaml --check-config
  lanyard-authority run --config /etc/lanyard/authority.yaml

A whole authority.yaml (only the first two lines are required):
  trust_domain: example.org
  data_dir: /var/lib/lanyard/authority
  sealing_key_file: /etc/lanyard/sealing.key   # default: in data_dir; made if absent
  agents: {address: "[::]:7443"}
  operators: {address: "unix:///run/lanyard/authority.sock"}
  bundle_file: /var/lib/lanyard/bundle.pem
  lifetimes: {root: 87648h, intermediate: 24h, x509_svid: 1h, node_svid: 1h, backdate: 10s}
  log: {level: info, format: auto}
)";

int Usage(absl::string_view mistake) {
  std::fprintf(stderr, "lanyard-authority: %.*s; see lanyard-authority --help\n", static_cast<int>(mistake.size()),
               mistake.data());
  return 2;
}

int Run(const std::string& config_file, bool check_only) {
  const absl::StatusOr<lanyard::AuthoritySettings> settings = lanyard::LoadAuthoritySettings(config_file);
  if (!settings.ok()) {
    std::fprintf(stderr, "lanyard-authority: %s\n", std::string(settings.status().message()).c_str());
    return 1;
  }
  if (check_only) {
    std::printf("%s: no mistakes\n", config_file.c_str());
    return 0;
  }
  lanyard::InitLogging("authority", settings->log.format, settings->log.level);
  if (const absl::Status hardened = lanyard::HardenProcess(); !hardened.ok()) {
    Log(LogLevel::kError, "cannot protect the keys in memory", {{"reason", hardened}});
    return 1;
  }
  lanyard::BlockStopAndReloadSignals();
  const auto authority = lanyard::Authority::Start(*settings, lanyard::SystemClock(), lanyard::SystemRandom());
  if (!authority.ok()) {
    Log(LogLevel::kError, "cannot start", {{"reason", authority.status()}});
    return 1;
  }
  const int signal = lanyard::WaitForStopIgnoringReload();
  Log(LogLevel::kInfo, "stopping", {{"signal", signal}});
  (*authority)->Stop(kStopGrace);
  Log(LogLevel::kInfo, "stopped");
  return 0;
}

int RunCommand(const std::vector<std::string>& flags) {
  std::string config_file;
  bool check_only = false;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] == "--check-config") {
      check_only = true;
    } else if (flags[i] == "--config" && i + 1 < flags.size()) {
      config_file = flags[++i];
    } else if (flags[i].rfind("--config=", 0) == 0) {
      config_file = flags[i].substr(9);
    } else {
      return Usage("unknown flag, or one without its value: " + flags[i]);
    }
  }
  return config_file.empty() ? Usage("run needs --config FILE") : Run(config_file, check_only);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (const std::string& word : words) {
    if (word != "--help" && word != "-h" && word != "help") continue;
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (words.empty()) return Usage("nothing to do");
  if (words[0] == "run") return RunCommand({words.begin() + 1, words.end()});
  if ((words[0] != "version" && words[0] != "--version") || words.size() > 1) {
    return Usage("unknown command " + words[0]);
  }
  std::printf("lanyard-authority %s\n", lanyard::kVersion);
  return 0;
}
