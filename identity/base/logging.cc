#include "identity/base/logging.h"

#include <unistd.h>

#include <atomic>
#include <memory>

#include "identity/base/clock.h"
#include "identity/base/log_line.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace lanyard {
namespace {

struct LogSettings {
  std::string component;
  bool json = false;
};

// Never destroyed: threads that outlive main may still log.
LogSettings& Settings() {
  static LogSettings* const settings = new LogSettings;
  return *settings;
}

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

// spdlog gives the locked, whole-line sink; the line itself is ours, so that it is the same
// for every version of spdlog and nothing in a message is taken for a format.
spdlog::logger& Sink() {
  static spdlog::logger* const sink = [] {
    auto* made = new spdlog::logger("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    return made;
  }();
  return *sink;
}

}  // namespace

void InitLogging(absl::string_view component, LogFormat format, LogLevel minimum) {
  Settings().component = std::string(component);
  Settings().json = format == LogFormat::kJson || (format == LogFormat::kAuto && isatty(STDERR_FILENO) == 0);
  minimum_level.store(minimum);
}

bool LogEnabled(LogLevel level) { return level >= minimum_level.load(std::memory_order_relaxed); }

void Log(LogLevel level, absl::string_view message, absl::Span<const LogField> fields) {
  if (!LogEnabled(level)) return;
  const LogHead head = {SystemClock().Now(), level, Settings().component, message};
  const std::string line = Settings().json ? JsonLogLine(head, fields) : TextLogLine(head, fields);
  Sink().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace lanyard
