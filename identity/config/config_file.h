// Configuration files: YAML or JSON read into a protobuf message of api/lanyard/config,
// checked whole. Every mistake is reported, not the first.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lanyard {

// One mistake: where, what stands there, what to write instead.
struct ConfigProblem {
  std::string path;     // "listeners[2].outbound.peers[0]"
  std::string message;  // one sentence with the value and the remedy
};

// Collects mistakes while a message is checked. Not thread-safe.
class ConfigProblems {
 public:
  void Add(absl::string_view path, absl::string_view message);
  bool empty() const { return problems_.empty(); }
  const std::vector<ConfigProblem>& all() const { return problems_; }
  // OK, or InvalidArgument: "proxy.yaml: 3 mistakes:\n  listeners[0].name: ...\n ..."
  absl::Status ToStatus(absl::string_view file) const;

 private:
  std::vector<ConfigProblem> problems_;
};

inline constexpr size_t kConfigSizeLimitBytes = 4 << 20;
inline constexpr int kConfigDepthLimit = 32;

// Fills `message` from YAML (of which JSON is a subset). Field names are the proto's (snake_case).
// Durations are written "90s", "1h30m", "500ms"; enums by name in any case ("close"), bytes are not supported.
// Mistakes: unknown field (with the nearest known name), wrong type, number out of range, duplicate key,
// unknown enum value, two fields of one oneof, anchors/aliases, depth, syntax (with line and column).
void ParseConfig(absl::string_view text, google::protobuf::Message& message, ConfigProblems& problems);

// Reads `path`, parses, then runs `check` for what types cannot say, even when parsing found mistakes already,
// so that all are reported together.
template <typename Config>
absl::Status LoadConfig(const std::string& path, Config& config,
                        const std::function<void(const Config&, ConfigProblems&)>& check);

// InfiniteDuration never; unset messages give `fallback`.
absl::Duration DurationOr(bool present, const google::protobuf::Duration& value, absl::Duration fallback);

}  // namespace lanyard
