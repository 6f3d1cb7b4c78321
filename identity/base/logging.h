// Structured logs on standard error: one line an event, text on a terminal, JSON
// (one object a line) elsewhere. A log line never carries key material or a token.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kAuto, kText, kJson };

// One key with its value. Numbers and booleans keep their JSON type.
class LogField {
 public:
  LogField(absl::string_view key, absl::string_view value) : key_(key), text_(value), quoted_(true) {}
  LogField(absl::string_view key, const char* value) : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, const std::string& value) : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, const absl::Status& value) : LogField(key, absl::string_view(value.message())) {}
  LogField(absl::string_view key, bool value) : key_(key), text_(value ? "true" : "false"), quoted_(false) {}
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
  LogField(absl::string_view key, Number value) : key_(key), text_(std::to_string(value)), quoted_(false) {}

  absl::string_view key() const { return key_; }
  absl::string_view text() const { return text_; }
  bool quoted() const { return quoted_; }

 private:
  std::string key_;
  std::string text_;
  bool quoted_;
};

// Once, at the start of main, before other threads. `component` ("authority", "agent",
// "proxy", "lanyard") stands in every line. Without it, Log writes text at kInfo.
void InitLogging(absl::string_view component, LogFormat format, LogLevel minimum);

// Thread-safe; a line is written whole. Keys are snake_case.
void Log(LogLevel level, absl::string_view message, absl::Span<const LogField> fields);
inline void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(level, message, absl::MakeConstSpan(fields.begin(), fields.size()));
}

// The same. False: the line was dropped (LogNeverWaits).
bool TryLog(LogLevel level, absl::string_view message, absl::Span<const LogField> fields);

// From now on no thread stands still because nobody reads standard error (line_writer.h): lines are dropped instead,
// and the first that is written afterwards is followed by one that says how many. Stays so.
void LogNeverWaits();
uint64_t LogLinesDropped();

// True if a line of that level would be written; for lines that are dear to compose.
bool LogEnabled(LogLevel level);

}  // namespace lanyard
