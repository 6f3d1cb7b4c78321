#include "identity/cli/output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

// By the NO_COLOR convention any non-empty value turns colour off.
bool WantsColour(FILE* out) {
  const char* no_colour = getenv("NO_COLOR");
  return isatty(fileno(out)) == 1 && (no_colour == nullptr || *no_colour == '\0');
}

std::string Dump(const nlohmann::ordered_json& value, int indent) {
  // Text from other machines may not be UTF-8; replaced rather than thrown over.
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::string_view ColourCode(Colour colour) {
  switch (colour) {
    case Colour::kGreen:
      return "\033[32m";
    case Colour::kYellow:
      return "\033[33m";
    case Colour::kRed:
      return "\033[31m";
    case Colour::kNone:
      return "";
  }
  return "";
}

}  // namespace

Output::Output(Format format, FILE* out, FILE* err)
    : format_(format), out_(out), err_(err), colour_(WantsColour(out)) {}

void Output::Json(const nlohmann::ordered_json& value) { Text(Dump(value, 2) + "\n"); }

void Output::JsonLine(const nlohmann::ordered_json& value) {
  Text(Dump(value, -1) + "\n");
  fflush(out_);
}

void Output::Text(absl::string_view text) { fwrite(text.data(), 1, text.size(), out_); }

void Output::Table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& cell : head) widths.push_back(cell.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t i = 0; i < cells.size(); ++i) {
      absl::StrAppend(&text, cells[i]);
      if (i + 1 < cells.size()) text.append(widths[i] - cells[i].size() + 2, ' ');
    }
    Text(text + "\n");
  };
  line(head);
  for (const auto& row : rows) line(row);
}

std::string Output::Coloured(Colour colour, absl::string_view text) const {
  if (!colour_ || colour == Colour::kNone) return std::string(text);
  return absl::StrCat(ColourCode(colour), text, "\033[0m");
}

void Output::Error(const absl::Status& status) {
  fflush(out_);
  const std::string code = absl::StatusCodeToString(status.code());
  if (json()) {
    const nlohmann::ordered_json error = {{"error", std::string(status.message())}, {"code", code}};
    fprintf(err_, "%s\n", Dump(error, -1).c_str());
  } else {
    fprintf(err_, "lanyard: %s\n", std::string(status.message()).c_str());
  }
}

void Output::Warn(absl::string_view warning) {
  fflush(out_);
  if (json()) {
    fprintf(err_, "%s\n", Dump({{"warning", std::string(warning)}}, -1).c_str());
  } else {
    fprintf(err_, "lanyard: warning: %s\n", std::string(warning).c_str());
  }
}

bool Output::Flush() {
  if (fflush(out_) == 0 && !ferror(out_)) return true;
  fprintf(err_, "lanyard: standard output could not be written: %s\n", strerror(errno));
  return false;
}

Progress::Progress(std::string what, absl::Duration first, absl::Duration next, FILE* err)
    : what_(std::move(what)), err_(err), thread_([this, first, next] { Run(first, next); }) {}

Progress::~Progress() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  done_changed_.notify_all();
  thread_.join();
}

void Progress::Run(absl::Duration first, absl::Duration next) {
  std::unique_lock<std::mutex> lock(mutex_);
  absl::Duration waited = first;
  absl::Duration wait = first;
  while (!done_changed_.wait_for(lock, absl::ToChronoMicroseconds(wait), [this] { return done_; })) {
    fprintf(err_, "lanyard: still %s (%s)\n", what_.c_str(), absl::FormatDuration(waited).c_str());
    fflush(err_);
    waited += next;
    wait = next;
  }
}

std::string RelativeTime(absl::Time time, absl::Time now) {
  const absl::Duration distance = time > now ? time - now : now - time;
  std::string text;
  if (distance >= absl::Hours(48)) {
    text = absl::StrCat(absl::ToInt64Hours(distance) / 24, "d");
  } else if (distance >= absl::Hours(2)) {
    text = absl::StrCat(absl::ToInt64Hours(distance), "h");
  } else if (distance >= absl::Minutes(2)) {
    text = absl::StrCat(absl::ToInt64Minutes(distance), "m");
  } else if (distance >= absl::Seconds(1)) {
    text = absl::StrCat(absl::ToInt64Seconds(distance), "s");
  } else {
    return "now";
  }
  return time > now ? absl::StrCat("in ", text) : absl::StrCat(text, " ago");
}

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

}  // namespace lanyard
