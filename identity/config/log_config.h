// The `log` section that every binary has.
#pragma once

#include "absl/strings/string_view.h"
#include "identity/base/logging.h"
#include "identity/config/config_problems.h"

namespace lanyard::config {
class Log;
}  // namespace lanyard::config

namespace lanyard {

struct LogSettings {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
};

// Reads level and format, "" meaning the default; adds `path`.level and `path`.format to
// `problems` where they are not known names. For InitLogging(component, format, level).
LogSettings LogFromConfig(const config::Log& log, absl::string_view path, ConfigProblems& problems);

}  // namespace lanyard
