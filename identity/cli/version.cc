#include "identity/base/version.h"

#include "identity/cli/commands.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status ShowVersion(const Arguments&, Output& output) {
  if (output.json()) {
    output.Json({{"version", kVersion}});
  } else {
    output.Text(std::string("lanyard ") + kVersion + "\n");
  }
  return absl::OkStatus();
}

}  // namespace

Command VersionCommand() {
  return {.name = "version",
          .summary = "Print this program's version",
          .examples = "  lanyard version -o json\n",
          .run = ShowVersion};
}

}  // namespace lanyard
