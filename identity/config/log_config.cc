#include "identity/config/log_config.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/lanyard/config/log.pb.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

template <typename Value>
Value Choose(absl::string_view text, Value fallback, const std::vector<std::pair<absl::string_view, Value>>& choices,
             absl::string_view path, ConfigProblems& problems) {
  if (text.empty()) return fallback;
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) return value;
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  problems.Add(path, absl::StrCat(Quoted(text), " must be one of ", names));
  return fallback;
}

}  // namespace

LogSettings LogFromConfig(const config::Log& log, absl::string_view path, ConfigProblems& problems) {
  LogSettings settings;
  settings.level = Choose<LogLevel>(log.level(), settings.level,
                                    {{"debug", LogLevel::kDebug},
                                     {"info", LogLevel::kInfo},
                                     {"warning", LogLevel::kWarning},
                                     {"error", LogLevel::kError}},
                                    absl::StrCat(path, ".level"), problems);
  settings.format = Choose<LogFormat>(
      log.format(), settings.format,
      {{"auto", LogFormat::kAuto}, {"text", LogFormat::kText}, {"json", LogFormat::kJson}},
      absl::StrCat(path, ".format"), problems);
  return settings;
}

}  // namespace lanyard
