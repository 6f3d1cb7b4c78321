#include "identity/cli/command_line.h"

#include <stdlib.h>

#include <memory>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "identity/config/nearest_name.h"

namespace lanyard {
namespace {

constexpr char kUsagePayload[] = "lanyard/usage";
constexpr char kDeniedPayload[] = "lanyard/denied";
constexpr char kOutputFlag[] = "--output";

// CLI11 writes into these; they live as long as the parser.
struct ParsedCommand {
  const Command* command;
  CLI::App* app;
  std::map<std::string, std::vector<std::string>> lists;
  std::map<std::string, std::string> values;
  std::map<std::string, bool> switches;
};
using ParsedCommands = std::vector<std::unique_ptr<ParsedCommand>>;

void AddFlag(CLI::App& app, const Flag& flag, ParsedCommand& parsed) {
  CLI::Option* option = nullptr;
  const std::string names = flag.short_name.empty() ? flag.name : absl::StrCat(flag.short_name, ",", flag.name);
  switch (flag.kind) {
    case Flag::Kind::kSwitch:
      option = app.add_flag(flag.name, parsed.switches[flag.name], flag.help);
      return;
    case Flag::Kind::kList:
      option = app.add_option(names, parsed.lists[flag.name], flag.help)->allow_extra_args(false);
      option->type_name("VALUE (may be repeated)");
      break;
    case Flag::Kind::kValue:
      option = app.add_option(names, parsed.values[flag.name], flag.help);
      option->type_name("VALUE");
      if (!flag.fallback.empty()) option->default_val(flag.fallback);
      break;
  }
  if (!flag.environment.empty()) option->envname(flag.environment);
  option->required(flag.required);
}

void AddCommand(CLI::App& app, const Command& command, ParsedCommands& all) {
  app.set_help_flag("-h,--help", "Print this help and exit");
  if (!command.version.empty()) app.set_version_flag("--version", command.version, "Print the version and exit");
  if (!command.examples.empty()) app.footer(absl::StrCat("Examples:\n", command.examples));
  auto parsed = std::make_unique<ParsedCommand>();
  parsed->command = &command;
  parsed->app = &app;
  for (const Flag& flag : command.flags) AddFlag(app, flag, *parsed);
  app.add_option(absl::StrCat("-o,", kOutputFlag), parsed->values[kOutputFlag], "text or json")
      ->type_name("FORMAT")
      ->default_val("text");
  all.push_back(std::move(parsed));
  for (const Command& child : command.children) AddCommand(*app.add_subcommand(child.name, child.summary), child, all);
}

// The innermost command that the words named.
CLI::App& Innermost(CLI::App& root) {
  CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return *app;
}

std::string CommandPath(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : absl::StrCat(CommandPath(*parent), " ", app.get_name());
}

std::string UnknownWord(const CLI::App& app, absl::string_view word) {
  const absl::string_view name = word.substr(0, word.find('='));
  std::vector<std::string> candidates;
  const bool is_flag = name.size() > 1 && name[0] == '-';
  if (is_flag) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& long_name : option->get_lnames()) candidates.push_back(absl::StrCat("--", long_name));
    }
  } else {
    for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
      candidates.push_back(child->get_name());
    }
  }
  const std::string nearest = NearestName(name, candidates);
  std::string message;
  if (is_flag) {
    message = absl::StrCat("there is no option ", name);
  } else if (candidates.empty()) {
    message = absl::StrCat("the argument '", word, "' is one too many");
  } else {
    message = absl::StrCat("there is no command '", word, "'");
  }
  if (!nearest.empty()) absl::StrAppend(&message, "; did you mean ", nearest, "?");
  return message;
}

// The --output of this command, or else of one it stands below.
std::string FormatOf(const CLI::App& app) {
  for (const CLI::App* at = &app; at != nullptr; at = at->get_parent()) {
    const CLI::Option* const option = at->get_option(kOutputFlag);
    if (option->count() > 0) return option->results().back();
  }
  return "text";
}

int ReportUsage(CLI::App& root, absl::string_view message) {
  const CLI::App& innermost = Innermost(root);
  const std::string path = CommandPath(innermost);
  const std::string text = absl::StrCat(message, " (see '", path, " --help')");
  if (FormatOf(innermost) == "json") {
    Output(Output::Format::kJson, stdout, stderr).Error(absl::InvalidArgumentError(absl::StrCat(path, ": ", text)));
  } else {
    fprintf(stderr, "%s: %s\n", path.c_str(), text.c_str());
  }
  return kExitUsage;
}

// A word nobody knows explains more than what it caused, such as a required option that seems to be absent.
int ReportParseError(CLI::App& root, const CLI::ParseError& error) {
  for (const std::string& word : root.remaining(true)) return ReportUsage(root, UnknownWord(Innermost(root), word));
  return ReportUsage(root, absl::StripAsciiWhitespace(error.what()));
}

Arguments CollectArguments(const ParsedCommand& parsed) {
  std::map<std::string, std::vector<std::string>> values = parsed.lists;
  for (const auto& [name, value] : parsed.values) {
    values[name] = value.empty() ? std::vector<std::string>() : std::vector<std::string>{value};
  }
  for (const auto& [name, given] : parsed.switches) {
    values[name] = given ? std::vector<std::string>{"true"} : std::vector<std::string>();
  }
  return Arguments(std::move(values));
}

int RunParsed(CLI::App& root, const ParsedCommand& parsed) {
  const Arguments arguments = CollectArguments(parsed);
  const std::string format = FormatOf(*parsed.app);
  if (format != "text" && format != "json") {
    return ReportUsage(root, absl::StrCat("--output is '", format, "'; it must be text or json"));
  }
  Output output(format == "json" ? Output::Format::kJson : Output::Format::kText, stdout, stderr);
  const absl::Status status = parsed.command->run(arguments, output);
  if (status.ok()) return output.Flush() ? kExitOk : kExitFailure;
  if (IsUsageError(status)) return ReportUsage(root, status.message());
  if (!status.message().empty()) output.Error(status);
  // An answer that did not reach its reader is none.
  return IsDeniedError(status) && output.Flush() ? kExitDenied : kExitFailure;
}

}  // namespace

const std::string& Arguments::Value(const std::string& name) const {
  static const std::string& none = *new std::string();
  const std::vector<std::string>& list = List(name);
  return list.empty() ? none : list.front();
}

const std::vector<std::string>& Arguments::List(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    fprintf(stderr, "lanyard: bug: the command has no option '%s'\n", name.c_str());
    abort();
  }
  return found->second;
}

bool Arguments::Has(const std::string& name) const { return !List(name).empty(); }

absl::StatusOr<absl::Duration> Arguments::Duration(const std::string& name) const {
  absl::Duration duration;
  if (!absl::ParseDuration(Value(name), &duration) || duration <= absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return UsageError(
        absl::StrCat(name, " is '", Value(name), "'; it must be a duration above zero, such as 90s or 1h30m"));
  }
  return duration;
}

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsagePayload).has_value(); }

absl::Status DeniedError(absl::string_view message) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(kDeniedPayload, absl::Cord());
  return status;
}

bool IsDeniedError(const absl::Status& status) { return status.GetPayload(kDeniedPayload).has_value(); }

int RunCommandLine(const Command& root, int argc, const char* const* argv) {
  CLI::App app(root.summary, root.name);
  ParsedCommands commands;
  AddCommand(app, root, commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    CLI::App& innermost = Innermost(app);
    fputs(innermost.help(innermost.get_parent() == nullptr ? "" : CommandPath(*innermost.get_parent())).c_str(),
          stdout);
    return kExitOk;
  } catch (const CLI::CallForVersion&) {
    printf("%s\n", root.version.c_str());
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    return ReportParseError(app, error);
  }
  CLI::App& innermost = Innermost(app);
  for (const auto& parsed : commands) {
    if (parsed->app == &innermost && parsed->command->run != nullptr) return RunParsed(app, *parsed);
  }
  const std::string path = innermost.get_parent() == nullptr ? "" : CommandPath(*innermost.get_parent());
  fputs(innermost.help(path).c_str(), stderr);
  return kExitUsage;
}

}  // namespace lanyard
