// lanyard agent: the nodes that the authority knows.
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/registry_client.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status List(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<std::vector<AgentRecord>> agents = (*authority)->ListAgents();
  if (!agents.ok()) return agents.status();
  if (output.json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const AgentRecord& agent : *agents) {
      list.push_back({{"spiffe_id", agent.spiffe_id},
                      {"attestation", agent.attestation},
                      {"attested_at", TimeText(agent.attested_at)},
                      {"svid_expires_at", TimeText(agent.svid_expires_at)},
                      {"svid_serial", agent.svid_serial},
                      {"connected", agent.connected}});
    }
    output.Json({{"agents", list}});
    return absl::OkStatus();
  }
  const absl::Time now = SystemClock().Now();
  std::vector<std::vector<std::string>> rows;
  for (const AgentRecord& agent : *agents) {
    rows.push_back({agent.spiffe_id, agent.attestation, RelativeTime(agent.attested_at, now),
                    RelativeTime(agent.svid_expires_at, now), agent.connected ? "yes" : "no"});
  }
  output.Table({"SPIFFE ID", "ATTESTED BY", "ATTESTED", "SVID EXPIRES", "CONNECTED"}, rows);
  return absl::OkStatus();
}

}  // namespace

Command AgentCommand() {
  Command list = {.name = "list",
                  .summary = "Show the agents that joined",
                  .examples = "  lanyard agent list\n  lanyard agent list -o json\n",
                  .flags = WithAuthorityFlags({}),
                  .run = List};
  return {
      .name = "agent", .summary = "The agents that joined", .examples = "  lanyard agent list\n", .children = {list}};
}

}  // namespace lanyard
