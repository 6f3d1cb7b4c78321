// lanyard proxy: orders to a running proxy.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "identity/cli/admin_client.h"
#include "identity/cli/commands.h"
#include "identity/cli/upgrade_client.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

constexpr char kAdminFlag[] = "--admin";
constexpr char kSocketFlag[] = "--socket";
constexpr char kBinaryFlag[] = "--binary";
constexpr char kConfigFlag[] = "--config";
constexpr absl::Duration kAdminTimeout = absl::Seconds(5);

absl::StatusOr<std::string> SocketOf(const Arguments& arguments) {
  if (const std::string& socket = arguments.Value(kSocketFlag); !socket.empty()) return socket;
  const std::string& admin = arguments.Value(kAdminFlag);
  const absl::StatusOr<AdminAnswer> page = GetAdminPage(admin, "/upgrade", kAdminTimeout);
  if (!page.ok()) {
    return absl::Status(page.status().code(),
                        absl::StrCat("no proxy answers at its admin address ", admin, ": ", page.status().message()));
  }
  return UpgradeSocketOf(page->body);
}

// The proxy's working directory is another.
std::string FromHere(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

absl::Status Upgrade(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  if (*timeout > absl::Hours(1)) return UsageError("--timeout is at most 1h");
  const absl::StatusOr<std::string> socket = SocketOf(arguments);
  if (!socket.ok()) return socket.status();
  const Progress progress("waiting for the new proxy to be ready");
  const absl::StatusOr<pid_t> pid =
      UpgradeProxy(*socket, {FromHere(arguments.Value(kBinaryFlag)), FromHere(arguments.Value(kConfigFlag)), *timeout});
  if (!pid.ok()) return pid.status();
  if (output.json()) {
    output.Json({{"pid", *pid}});
  } else {
    output.Text(
        absl::StrCat("upgraded: process ", *pid, " serves now, and the one before it finishes what cannot move\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command ProxyCommand() {
  return {.name = "proxy",
          .summary = "Upgrade a running proxy",
          .examples = "  lanyard proxy upgrade\n",
          .children = {
              {.name = "upgrade",
               .summary = "Start a new proxy that takes over listeners and mesh streams; the old one finishes the rest",
               .examples = "  lanyard proxy upgrade\n"
                           "  lanyard proxy upgrade --socket /run/lanyard-proxy/upgrade.sock --timeout 2m\n"
                           "  lanyard proxy upgrade --binary /opt/lanyard-2/lanyard-proxy    # as root\n",
               .flags = {{.name = kAdminFlag,
                          .help = "The proxy's admin address, which says where its socket is",
                          .fallback = "127.0.0.1:15000"},
                         {.name = kSocketFlag, .help = "The proxy's upgrade.socket, instead of asking for it"},
                         {.name = kBinaryFlag,
                          .help = "The new lanyard-proxy, which only root may name; default: the path of the old one"},
                         {.name = kConfigFlag,
                          .help = "Its configuration, which only root may name; default: the old one's file"},
                         {.name = kTimeoutFlag,
                          .help = "How long the new one may take to be ready",
                          .fallback = "60s"}},
               .run = Upgrade}}};
}

}  // namespace lanyard
