// The command line as a table: commands described as data, parsed strictly, explained by --help.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/cli/output.h"

namespace lanyard {

// Exit codes of `lanyard`, and of nothing else.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDenied = 3;

// One option of a command. `name` is "--spiffe-id", or "id" for a positional argument.
struct Flag {
  std::string name;
  std::string help;
  enum class Kind { kValue, kList, kSwitch } kind = Kind::kValue;  // kList: may be repeated
  bool required = false;
  std::string fallback = "";     // when neither given nor in the environment
  std::string environment = "";  // variable that stands in for it
  std::string short_name = "";   // "-f"; of options with a value
};

// The options of one invocation, by Flag::name. Asking for a name that the command does not have is a bug.
class Arguments {
 public:
  explicit Arguments(std::map<std::string, std::vector<std::string>> values) : values_(std::move(values)) {}
  // "" when absent without a fallback.
  const std::string& Value(const std::string& name) const;
  const std::vector<std::string>& List(const std::string& name) const;
  bool Has(const std::string& name) const;
  // A duration such as "90s" or "1h30m", above zero; a UsageError otherwise.
  absl::StatusOr<absl::Duration> Duration(const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

// A command with children, or one that runs. Every command has -o/--output; the innermost that is given counts.
struct Command {
  std::string name;
  std::string summary;
  std::string examples;  // lines for the end of --help
  std::vector<Flag> flags = {};
  std::function<absl::Status(const Arguments&, Output&)> run = nullptr;
  std::vector<Command> children = {};
  std::string version = "";  // what --version prints; of the outermost command
};

// A mistake on the command line: exit code 2 instead of 1.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);
// It could be asked, and the answer is no: exit code 3, so that a script tells this from a failure to ask. Printed like
// an error, unless empty.
absl::Status DeniedError(absl::string_view message);
bool IsDeniedError(const absl::Status& status);

// Parses, runs, prints errors to standard error, with -o json in JSON; the result is the exit code.
int RunCommandLine(const Command& root, int argc, const char* const* argv);

}  // namespace lanyard
