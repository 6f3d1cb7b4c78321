// lanyard token: join tokens, by which a new node's agent makes itself known.
#include "absl/strings/str_cat.h"
#include "identity/base/atomic_file.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/registry_client.h"
#include "identity/cli/warnings.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status Create(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> ttl = arguments.Duration("--ttl");
  if (!ttl.ok()) return ttl.status();
  if (*ttl < absl::Seconds(1)) return UsageError("--ttl is below one second; a token lives whole seconds");
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<JoinTokenRecord> token = (*authority)->CreateJoinToken(arguments.Value("--node"), *ttl);
  if (!token.ok()) return token.status();
  if (const auto agents = (*authority)->ListAgents(); agents.ok()) {
    if (const std::string odd = WarningOfToken(token->agent_id, *agents); !odd.empty()) output.Warn(odd);
  }
  const std::string& file = arguments.Value("--write");
  if (!file.empty()) {
    const absl::Status written = WriteFileAtomically(file, absl::StrCat(token->token, "\n"), 0600);
    if (!written.ok()) return written;
  }
  if (output.json()) {
    nlohmann::ordered_json json = {{"agent_id", token->agent_id}, {"expires_at", TimeText(token->expires_at)}};
    json[file.empty() ? "token" : "file"] = file.empty() ? token->token : file;
    output.Json(json);
    return absl::OkStatus();
  }
  if (file.empty()) output.Text(absl::StrCat(token->token, "\n"));
  // Beside the token, so that a script takes the token alone.
  fprintf(stderr, "For %s, once, until %s (%s); it cannot be shown again.\n", token->agent_id.c_str(),
          TimeText(token->expires_at).c_str(), RelativeTime(token->expires_at, SystemClock().Now()).c_str());
  return absl::OkStatus();
}

}  // namespace

Command TokenCommand() {
  Command create = {
      .name = "create",
      .summary = "Make a token that lets one agent join, once",
      .examples =
          "  lanyard token create --node web-1\n"
          "  lanyard token create --node web-1 --ttl 1h --write /etc/lanyard/join-token\n",
      .flags = WithAuthorityFlags(
          {{.name = "--node",
            .help = "The agent becomes spiffe://<trust domain>/lanyard/agent/<node>; absent: a random one"},
           {.name = "--ttl", .help = "How long the token can be used", .fallback = "10m"},
           {.name = "--write", .help = "Write it into this file (0600) instead of printing it"}}),
      .run = Create};
  return {.name = "token",
          .summary = "Join tokens for new agents",
          .examples = "  lanyard token create --node web-1\n",
          .children = {create}};
}

}  // namespace lanyard
