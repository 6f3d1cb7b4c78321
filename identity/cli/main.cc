// lanyard: the command line for operators and workloads.
#include "absl/strings/str_cat.h"
#include "identity/base/process.h"
#include "identity/base/version.h"
#include "identity/cli/command_line.h"
#include "identity/cli/commands.h"

int main(int argc, char** argv) {
  using lanyard::Command;
  // Keys pass through `svid fetch`.
  if (const absl::Status hardened = lanyard::HardenProcess(); !hardened.ok()) {
    fprintf(stderr, "lanyard: %s\n", std::string(hardened.message()).c_str());
    return lanyard::kExitFailure;
  }
  const Command root = {
      .name = "lanyard",
      .summary = "Identities for workloads, and mutual TLS between them.",
      .examples =
          "  lanyard check\n"
          "  lanyard token create --node web-1\n"
          "  lanyard entry create --spiffe-id spiffe://example.org/web --selector unix:user:www-data\n"
          "  lanyard policy apply -f rules.yaml\n"
          "  lanyard capture up --proxy-uid lanyard-proxy\n"
          "Exit codes: 0 done, or the answer is yes; 1 it failed, or could not be asked; 2 the command line is wrong;\n"
          "3 the answer is no (policy test; policy replay --fail-on-denied).\n",
      .children = {lanyard::EntryCommand(), lanyard::TokenCommand(), lanyard::AgentCommand(), lanyard::PolicyCommand(),
                   lanyard::RouteCommand(), lanyard::BanCommand(), lanyard::UnbanCommand(), lanyard::BansCommand(),
                   lanyard::MeshCommand(), lanyard::ProxyCommand(), lanyard::TapCommand(), lanyard::BundleCommand(),
                   lanyard::SvidCommand(), lanyard::CaptureCommand(), lanyard::CheckCommand(),
                   lanyard::VersionCommand()},
      .version = absl::StrCat("lanyard ", lanyard::kVersion)};
  return lanyard::RunCommandLine(root, argc, argv);
}
