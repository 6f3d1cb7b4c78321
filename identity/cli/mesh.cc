// lanyard mesh: what the proxies of the mesh run.
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/mesh_rules_client.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

nlohmann::ordered_json ToJson(const ReportedProxy& proxy) {
  return {{"agent", proxy.agent},
          {"spiffe_id", proxy.spiffe_id},
          {"view_version", proxy.view_version},
          {"refused_view_version", proxy.refused_view_version},
          {"refused_view_error", proxy.refused_view_error},
          {"serial", proxy.serial},
          {"not_after", TimeText(proxy.not_after)},
          {"open_connections", proxy.open_connections},
          {"version", proxy.version},
          {"reported_at", TimeText(proxy.reported_at)}};
}

std::string Standing(const ReportedProxy& proxy, uint64_t newest) {
  if (!proxy.refused_view_error.empty()) {
    return absl::StrCat("refused ", proxy.refused_view_version, ": ", proxy.refused_view_error);
  }
  return proxy.view_version >= newest ? "current" : "behind";
}

absl::Status Status(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshStatus> status = (*rules)->GetMeshStatus();
  if (!status.ok()) return status.status();
  if (output.json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const ReportedProxy& proxy : status->proxies) list.push_back(ToJson(proxy));
    output.Json({{"view_version", status->view_version}, {"proxies", list}});
    return absl::OkStatus();
  }
  const absl::Time now = SystemClock().Now();
  std::vector<std::vector<std::string>> rows;
  for (const ReportedProxy& proxy : status->proxies) {
    rows.push_back({proxy.agent, proxy.spiffe_id, absl::StrCat(proxy.view_version),
                    Standing(proxy, status->view_version), proxy.serial, RelativeTime(proxy.not_after, now),
                    absl::StrCat(proxy.open_connections), proxy.version, RelativeTime(proxy.reported_at, now)});
  }
  output.Text(absl::StrCat("newest view: ", status->view_version, "\n"));
  output.Table(
      {"AGENT", "SPIFFE ID", "VIEW", "STANDING", "SERIAL", "SVID EXPIRES", "CONNECTIONS", "VERSION", "REPORTED"}, rows);
  return absl::OkStatus();
}

}  // namespace

Command MeshCommand() {
  Command status = {.name = "status",
                    .summary = "Which view and identity each proxy runs, as the connected agents report it",
                    .examples = "  lanyard mesh status\n  lanyard mesh status -o json\n",
                    .flags = WithAuthorityFlags({}),
                    .run = Status};
  return {.name = "mesh",
          .summary = "What the proxies of the mesh run",
          .examples = "  lanyard mesh status\n",
          .children = {status}};
}

}  // namespace lanyard
