#include "identity/base/logging.h"

#include <unistd.h>

#include <atomic>
#include <memory>

#include "identity/base/clock.h"
#include "identity/base/line_writer.h"
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
std::atomic<bool> never_waits{false};
std::atomic<uint64_t> dropped{0};  // ever
std::atomic<uint64_t> untold{0};   // of them, since the line that said so

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

std::string LineOf(LogLevel level, absl::string_view message, absl::Span<const LogField> fields) {
  const LogHead head = {SystemClock().Now(), level, Settings().component, message};
  return Settings().json ? JsonLogLine(head, fields) : TextLogLine(head, fields);
}

bool WriteWithoutWaiting(const std::string& line) {
  static LineWriter* const writer = new LineWriter(STDERR_FILENO);  // as Settings
  if (!writer->Write(line)) {
    dropped.fetch_add(1, std::memory_order_relaxed);
    untold.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const uint64_t lines = untold.exchange(0, std::memory_order_relaxed);
  if (lines == 0) return true;
  const LogField field("lines", lines);
  if (!writer->Write(LineOf(LogLevel::kWarning, "lines were dropped here: standard error is read too slowly",
                            absl::MakeConstSpan(&field, 1)))) {
    untold.fetch_add(lines, std::memory_order_relaxed);
  }
  return true;
}

}  // namespace

void InitLogging(absl::string_view component, LogFormat format, LogLevel minimum) {
  Settings().component = std::string(component);
  Settings().json = format == LogFormat::kJson || (format == LogFormat::kAuto && isatty(STDERR_FILENO) == 0);
  minimum_level.store(minimum);
}

bool LogEnabled(LogLevel level) { return level >= minimum_level.load(std::memory_order_relaxed); }

void LogNeverWaits() { never_waits.store(true); }

uint64_t LogLinesDropped() { return dropped.load(std::memory_order_relaxed); }

bool TryLog(LogLevel level, absl::string_view message, absl::Span<const LogField> fields) {
  if (!LogEnabled(level)) return true;
  const std::string line = LineOf(level, message, fields);
  if (never_waits.load(std::memory_order_relaxed)) return WriteWithoutWaiting(line);
  Sink().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  return true;
}

void Log(LogLevel level, absl::string_view message, absl::Span<const LogField> fields) {
  TryLog(level, message, fields);
}

}  // namespace lanyard
