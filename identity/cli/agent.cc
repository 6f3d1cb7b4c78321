// lanyard agent: the nodes that the authority knows.
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/registry_client.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

// Null: it is not banned.
const Ban* BanOf(const AgentRecord& agent, const BanSet& bans, absl::Time now) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(agent.spiffe_id);
  return id.ok() ? bans.FindAgent(*id, agent.svid_serial, now) : nullptr;
}

absl::Status List(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<std::vector<AgentRecord>> agents = (*authority)->ListAgents();
  if (!agents.ok()) return agents.status();
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  absl::StatusOr<std::vector<Ban>> bans = (*rules)->ListBans();
  if (!bans.ok()) return bans.status();
  const BanSet banned(*std::move(bans));
  const absl::Time now = SystemClock().Now();
  if (output.json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const AgentRecord& agent : *agents) {
      list.push_back({{"spiffe_id", agent.spiffe_id},
                      {"attestation", agent.attestation},
                      {"attested_at", TimeText(agent.attested_at)},
                      {"svid_expires_at", TimeText(agent.svid_expires_at)},
                      {"svid_serial", agent.svid_serial},
                      {"connected", agent.connected},
                      {"banned", BanOf(agent, banned, now) != nullptr}});
    }
    output.Json({{"agents", list}});
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const AgentRecord& agent : *agents) {
    rows.push_back({agent.spiffe_id, agent.attestation, RelativeTime(agent.attested_at, now),
                    RelativeTime(agent.svid_expires_at, now),
                    absl::StrCat(agent.connected ? "yes" : "no", BanOf(agent, banned, now) ? ", banned" : "")});
  }
  output.Table({"SPIFFE ID", "ATTESTED BY", "ATTESTED", "SVID EXPIRES", "CONNECTED"}, rows);
  return absl::OkStatus();
}

absl::Status Delete(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const std::string spiffe_id = arguments.Value("spiffe-id");
  if (absl::Status deleted = (*authority)->DeleteAgent(spiffe_id); !deleted.ok()) return deleted;
  if (output.json()) {
    output.Json({{"spiffe_id", spiffe_id}});
  } else {
    output.Text(absl::StrCat("deleted agent ", spiffe_id, ": it needs a new token to come back\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command AgentCommand() {
  Command list = {.name = "list",
                  .summary = "Show the agents that joined",
                  .examples = "  lanyard agent list\n  lanyard agent list -o json\n",
                  .flags = WithAuthorityFlags({}),
                  .run = List};
  Command remove = {
      .name = "delete",
      .summary = "Forget an agent: its connection ends, and nothing is signed for it any more",
      .examples = "  lanyard agent delete spiffe://example.org/lanyard/agent/web-1\n",
      .flags = WithAuthorityFlags({{.name = "spiffe-id", .help = "The agent's SPIFFE ID", .required = true}}),
      .run = Delete};
  return {.name = "agent",
          .summary = "The agents that joined",
          .examples = "  lanyard agent list\n",
          .children = {list, remove}};
}

}  // namespace lanyard
