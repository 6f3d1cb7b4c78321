// What `lanyard` prints: JSON or text on standard output, errors and progress on standard error.
#pragma once

#include <stdio.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"

namespace lanyard {

// Colours of a terminal; elsewhere none is written.
enum class Colour { kNone, kGreen, kYellow, kRed };

// Not thread-safe. The streams are borrowed.
class Output {
 public:
  enum class Format { kText, kJson };
  Output(Format format, FILE* out, FILE* err);

  bool json() const { return format_ == Format::kJson; }

  // One JSON value, indented, and a line break.
  void Json(const nlohmann::ordered_json& value);
  // One JSON value on one line: for commands that print many.
  void JsonLine(const nlohmann::ordered_json& value);
  void Text(absl::string_view text);
  // Columns as wide as their longest cell, two spaces between them.
  void Table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows);
  // `text` in `colour` where standard output is a terminal.
  std::string Coloured(Colour colour, absl::string_view text) const;

  void Error(const absl::Status& status);
  // What was done may not be what was meant: a line on standard error, in JSON too ("warning").
  void Warn(absl::string_view warning);
  // False, with a message, when standard output did not take everything (a full disk, a closed pipe).
  bool Flush();

 private:
  Format format_;
  FILE* out_;
  FILE* err_;
  bool colour_;
};

// Says on standard error what is being waited for once it has taken two seconds, and again every five.
// Ends with its scope.
class Progress {
 public:
  explicit Progress(std::string what, absl::Duration first = absl::Seconds(2), absl::Duration next = absl::Seconds(5),
                    FILE* err = stderr);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void Run(absl::Duration first, absl::Duration next);

  const std::string what_;
  FILE* const err_;
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;  // guarded by mutex_
  std::thread thread_;
};

// "in 59m", "3s ago", "now": the largest unit that says it.
std::string RelativeTime(absl::Time time, absl::Time now);
// RFC 3339 in UTC, whole seconds.
std::string TimeText(absl::Time time);

}  // namespace lanyard
