// lanyard ban, unban, bans: who is shut out, whatever a policy says.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/registry_client.h"
#include "identity/cli/rules_output.h"
#include "identity/cli/warnings.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

// "agent:web-1" is the agent of that name in the authority's trust domain.
absl::StatusOr<BanSubject> SubjectOf(const Arguments& arguments) {
  std::string text = arguments.Value("subject");
  if (absl::StartsWith(text, "agent:") && !absl::StrContains(text, "/")) {
    const auto authority = AuthorityOf(arguments);
    if (!authority.ok()) return authority.status();
    const absl::StatusOr<AuthorityStatus> status = (*authority)->GetStatus();
    if (!status.ok()) return status.status();
    const std::string name = text.substr(text.find(':') + 1);
    text = absl::StrCat("agent:spiffe://", status->trust_domain, "/lanyard/agent/", name);
  }
  absl::StatusOr<BanSubject> subject = BanSubject::Parse(text);
  if (!subject.ok()) return UsageError(subject.status().message());
  return subject;
}

// A ban shuts out who comes later too; so this is said after it is in force, and is no failure.
void WarnOfNobody(const BanSubject& subject, const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return;
  const absl::StatusOr<std::vector<EntryRecord>> entries = (*authority)->ListEntries("", "");
  const absl::StatusOr<std::vector<AgentRecord>> agents = (*authority)->ListAgents();
  if (!entries.ok() || !agents.ok()) return;
  if (const std::string warning = WarningOfBan(subject, *entries, *agents); !warning.empty()) output.Warn(warning);
}

absl::Status AddBan(const Arguments& arguments, Output& output) {
  absl::Duration length = absl::ZeroDuration();
  if (arguments.Has("--for")) {
    const absl::StatusOr<absl::Duration> given = arguments.Duration("--for");
    if (!given.ok()) return given.status();
    if (*given < absl::Seconds(1)) return UsageError("--for is below one second; a ban lasts whole seconds");
    length = *given;
  }
  const absl::StatusOr<BanSubject> subject = SubjectOf(arguments);
  if (!subject.ok()) return subject.status();
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<NewBan> banned = (*rules)->AddBan(*subject, arguments.Value("--reason"), length);
  if (!banned.ok()) return banned.status();
  if (output.json()) {
    nlohmann::ordered_json json = ToJson(banned->ban);
    json["view_version"] = banned->view_version;
    json["replaced"] = banned->replaced ? ToJson(*banned->replaced) : nlohmann::ordered_json();
    output.Json(json);
  } else {
    output.Text(absl::StrCat(banned->ban.Explanation(), " (in force in proxies of view ", banned->view_version,
                             " or later)\n"));
    if (banned->replaced) output.Text(absl::StrCat("this replaces: ", banned->replaced->Explanation(), "\n"));
  }
  WarnOfNobody(*subject, arguments, output);
  return absl::OkStatus();
}

absl::Status RemoveBan(const Arguments& arguments, Output& output) {
  const absl::StatusOr<BanSubject> subject = SubjectOf(arguments);
  if (!subject.ok()) return subject.status();
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  if (absl::Status removed = (*rules)->RemoveBan(*subject); !removed.ok()) return removed;
  if (output.json()) {
    output.Json({{"subject", subject->ToString()}});
  } else {
    output.Text(absl::StrCat("unbanned ", subject->ToString(), "\n"));
  }
  return absl::OkStatus();
}

absl::Status ListBans(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<std::vector<Ban>> bans = (*rules)->ListBans();
  if (!bans.ok()) return bans.status();
  ShowBans(*bans, SystemClock().Now(), output);
  return absl::OkStatus();
}

constexpr char kSubjectHelp[] =
    "spiffe://td/path, spiffe://td/path/* (every ID below), serial:HEX (one SVID; its workload gets a new one at its "
    "next renewal: ban the ID to shut the workload out), agent:NAME or agent:spiffe://... (a node, and every SVID "
    "issued through it)";

}  // namespace

Command BanCommand() {
  return {.name = "ban",
          .summary = "Shut an identity, an SVID or a node out: nothing is issued to it, its connections are closed",
          .examples =
              "  lanyard ban spiffe://example.org/shop --for 1h --reason 'leaked key'\n"
              "  lanyard ban 'spiffe://example.org/ns/test/*'\n"
              "  lanyard ban serial:5f0c0d3a91b2\n"
              "  lanyard ban agent:web-1 --reason 'stolen machine'\n",
          .flags = WithAuthorityFlags({{.name = "subject", .help = kSubjectHelp, .required = true},
                                       {.name = "--for", .help = "How long; absent: until unbanned"},
                                       {.name = "--reason", .help = "Why, for people; at most 256 bytes"}}),
          .run = AddBan};
}

Command UnbanCommand() {
  return {.name = "unban",
          .summary = "Take a ban back",
          .examples = "  lanyard unban spiffe://example.org/shop\n",
          .flags = WithAuthorityFlags({{.name = "subject", .help = "As it was banned", .required = true}}),
          .run = RemoveBan};
}

Command BansCommand() {
  return {.name = "bans",
          .summary = "Show the bans in force",
          .examples = "  lanyard bans\n  lanyard bans -o json\n",
          .flags = WithAuthorityFlags({}),
          .run = ListBans};
}

}  // namespace lanyard
