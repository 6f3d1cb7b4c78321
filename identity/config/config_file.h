// Configuration files: YAML or JSON read into a protobuf message of api/lanyard/config,
// checked whole. Every mistake is reported, not the first.
#pragma once

#include <functional>
#include <string>
#include <type_traits>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/config/config_problems.h"

namespace lanyard {

inline constexpr size_t kConfigSizeLimitBytes = 4 << 20;
inline constexpr int kConfigDepthLimit = 32;

// Fills `message` from YAML (of which JSON is a subset). Field names are the proto's (snake_case). Durations are
// written "90s", "1h30m", "500ms" and are not negative; times "2026-01-31T12:00:00Z"; enums by name in any case
// ("close"), never the unspecified one; bytes are not supported. A message, list or map left empty counts as not
// written.
// Mistakes, each with its line: unknown field (with the nearest known name), wrong type, number out of range,
// duplicate key, unknown enum value, two fields of one oneof, a key without a value, anchors/aliases, tags, a second
// document, depth, syntax (with line and column).
void ParseConfig(absl::string_view text, google::protobuf::Message& message, ConfigProblems& problems);

// Reads `path`, parses, then runs `check` for what types cannot say, even when parsing found mistakes already,
// so that all are reported together. InvalidArgument lists them; other errors are ReadFile's.
absl::Status LoadConfigMessage(const std::string& path, google::protobuf::Message& message,
                               const std::function<void(ConfigProblems&)>& check);

// The same for a `check` that takes the message.
template <typename Config>
absl::Status LoadConfig(const std::string& path, Config& config,
                        const std::type_identity_t<std::function<void(const Config&, ConfigProblems&)>>& check) {
  return LoadConfigMessage(path, config, [&](ConfigProblems& problems) { check(config, problems); });
}

// InfiniteDuration never; unset messages give `fallback`.
absl::Duration DurationOr(bool present, const google::protobuf::Duration& value, absl::Duration fallback);

}  // namespace lanyard
