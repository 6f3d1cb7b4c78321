// lanyard route: where captured outbound connections go. And what applies a file of policies and routes.
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/rules_file_proto.h"
#include "identity/cli/rules_output.h"
#include "identity/cli/warnings.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status Apply(const Arguments& arguments, Output& output) {
  const absl::StatusOr<RulesFile> file = LoadRulesFile(arguments.Value("--file"));
  if (!file.ok()) return file.status();
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const bool dry_run = arguments.Has("--dry-run");
  const absl::StatusOr<std::vector<AppliedRecord>> applied = (*rules)->Apply(*file, dry_run);
  if (!applied.ok()) return applied.status();
  ShowApplied(*applied, dry_run, output);
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  if (const absl::StatusOr<AuthorityStatus> status = (*authority)->GetStatus(); status.ok()) {
    for (const std::string& odd : WarningsOfRules(*file, status->trust_domain)) output.Warn(odd);
  }
  return absl::OkStatus();
}

absl::Status List(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshListing> listing = (*rules)->List(arguments.Value("--workload"));
  if (!listing.ok()) return listing.status();
  ShowRoutes(listing->routes, SystemClock().Now(), output);
  return absl::OkStatus();
}

absl::Status Delete(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const std::string name = arguments.Value("name");
  if (absl::Status deleted = (*rules)->Delete({}, {name}); !deleted.ok()) return deleted;
  if (output.json()) {
    output.Json({{"kind", "route"}, {"name", name}});
  } else {
    output.Text(absl::StrCat("deleted route set ", name, "\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command ApplyCommand(const std::string& noun) {
  return {.name = "apply",
          .summary = "Create or replace every policy and route set of a file (YAML or JSON), all or none",
          .examples = absl::StrCat(
              "  lanyard ", noun,
              " apply -f rules.yaml --dry-run\n"
              "  envsubst < rules.yaml | lanyard ",
              noun, " apply -f -\n\n"
              "  policies:\n"
              "    - name: web\n"
              "      workloads: [spiffe://example.org/web]       # whose inbound; spiffe://example.org/ns/* is a path\n"
              "      rules:\n"
              "        - {name: shop-calls-web, ports: [80], peers: [\"spiffe://example.org/shop\"]}\n"
              "  routes:\n"
              "    - name: shop\n"
              "      workloads: [spiffe://example.org/shop]\n"
              "      routes:\n"
              "        - {name: mesh, destinations: [10.0.0.0/8], action: mutual_tls, peers: "
              "[\"spiffe://example.org/*\"]}\n"),
          .flags = WithAuthorityFlags(
              {{.name = "--file",
                .help = "The file to apply; - is standard input",
                .required = true,
                .short_name = "-f"},
               {.name = "--dry-run", .help = "Only check, and say what would change", .kind = Flag::Kind::kSwitch}}),
          .run = Apply};
}

Command RouteCommand() {
  Command list = {
      .name = "list",
      .summary = "Show route sets in the order in which they match",
      .examples = "  lanyard route list\n  lanyard route list --workload spiffe://example.org/web\n",
      .flags = WithAuthorityFlags({{.name = "--workload", .help = "Only sets that speak of this SPIFFE ID"}}),
      .run = List};
  Command remove = {.name = "delete",
                    .summary = "Take a route set back",
                    .examples = "  lanyard route delete shop\n",
                    .flags = WithAuthorityFlags({{.name = "name", .help = "The set's name", .required = true}}),
                    .run = Delete};
  return {.name = "route",
          .summary = "Where the captured outbound connections of which workload go",
          .examples = "  lanyard route apply -f rules.yaml\n  lanyard route list\n",
          .children = {ApplyCommand("route"), list, remove}};
}

}  // namespace lanyard
