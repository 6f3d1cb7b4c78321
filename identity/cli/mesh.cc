// lanyard mesh: what the proxies of the mesh run.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/registry_client.h"
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

nlohmann::ordered_json ToJson(const AgentRecord& agent) {
  return {{"agent", agent.spiffe_id},
          {"attested_at", TimeText(agent.attested_at)},
          {"svid_expires_at", TimeText(agent.svid_expires_at)}};
}

template <typename Records>
nlohmann::ordered_json ListToJson(const Records& records) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& record : records) list.push_back(ToJson(record));
  return list;
}

// Agents of whose proxies nothing is known. Asked after `status`: one that has connected meanwhile is in it already.
absl::StatusOr<std::vector<AgentRecord>> NotConnected(const Arguments& arguments, const MeshStatus& status) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  absl::StatusOr<std::vector<AgentRecord>> agents = (*authority)->ListAgents();
  if (!agents.ok()) return agents;
  const auto is_heard = [&status](const AgentRecord& agent) {
    return agent.connected || std::any_of(status.proxies.begin(), status.proxies.end(),
                                          [&](const ReportedProxy& proxy) { return proxy.agent == agent.spiffe_id; });
  };
  agents->erase(std::remove_if(agents->begin(), agents->end(), is_heard), agents->end());
  return agents;
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
  const absl::StatusOr<std::vector<AgentRecord>> away = NotConnected(arguments, *status);
  if (!away.ok()) return away.status();
  if (output.json()) {
    output.Json({{"view_version", status->view_version},
                 {"proxies", ListToJson(status->proxies)},
                 {"not_connected", ListToJson(*away)}});
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
  for (const AgentRecord& agent : *away) {
    output.Text(absl::StrCat(output.Coloured(Colour::kYellow, "not heard"), "  ", agent.spiffe_id,
                             ": this agent is not connected: nothing is known of its proxies; its SVID ",
                             agent.svid_expires_at > now ? "expires " : "expired ",
                             RelativeTime(agent.svid_expires_at, now), "\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command MeshCommand() {
  Command status = {.name = "status",
                    .summary =
                        "Which view and identity each proxy runs, as the connected agents report it, and which "
                        "agents are not connected",
                    .examples = "  lanyard mesh status\n  lanyard mesh status -o json\n",
                    .flags = WithAuthorityFlags({}),
                    .run = Status};
  return {.name = "mesh",
          .summary = "What the proxies of the mesh run",
          .examples = "  lanyard mesh status\n",
          .children = {status}};
}

}  // namespace lanyard
