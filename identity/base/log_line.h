// What one log line looks like, as pure functions; logging.h writes it.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/base/logging.h"

namespace lanyard {

// What stands in a line beside its fields.
struct LogHead {
  absl::Time time;
  LogLevel level;
  absl::string_view component;
  absl::string_view message;
};

// "debug", "info", "warning", "error".
absl::string_view LogLevelName(LogLevel level);

// One JSON object without a line break: time (RFC 3339, UTC, microseconds), level, component,
// message, then the fields in order. Valid JSON whatever the bytes: control characters are
// escaped, bytes that are not UTF-8 become U+FFFD, a number JSON has no form for is quoted.
std::string JsonLogLine(const LogHead& head, absl::Span<const LogField> fields);

// "2026-11-21T17:43:17.123456Z info proxy: message key=value key="two words"", without a line
// break: values that hold anything but printable, unspaced ASCII are quoted and escaped.
std::string TextLogLine(const LogHead& head, absl::Span<const LogField> fields);

}  // namespace lanyard
