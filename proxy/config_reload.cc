#include "proxy/config_reload.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/base/atomic_file.h"
#include "identity/base/logging.h"
#include "identity/config/config_file.h"

namespace lanyard {

ConfigReload::ConfigReload(Options options) : options_(std::move(options)), watch_({options_.path}) {}

void ConfigReload::Poll() {
  if (!watch_.Poll()) return;
  const absl::Status read = Read();
  refusal_ = std::string(read.message());
  if (read.ok()) return;
  ++refused_;
  Log(LogLevel::kError, "configuration kept", {{"path", options_.path}, {"error", read}});
}

absl::Status ConfigReload::Read() {
  absl::StatusOr<std::string> text = ReadFile(options_.path, kConfigSizeLimitBytes);
  if (!text.ok()) return text.status();
  if (*text == options_.text) return absl::OkStatus();
  absl::StatusOr<ProxySettings> settings = ParseProxySettings(*text, options_.path, options_.environment);
  if (!settings.ok()) return settings.status();
  const std::vector<std::string> fixed = FixedDifferences(options_.settings, *settings);
  if (!fixed.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("a change of ", absl::StrJoin(fixed, ", "), " needs a restart; nothing of the file was applied"));
  }
  options_.text = *std::move(text);
  options_.settings = *std::move(settings);
  ++applied_;
  Log(LogLevel::kInfo, "configuration applied", {{"path", options_.path}});
  options_.apply(options_.settings);
  return absl::OkStatus();
}

}  // namespace lanyard
