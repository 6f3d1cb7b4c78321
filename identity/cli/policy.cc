// lanyard policy: who may call which workload.
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/decision.h"
#include "identity/cli/mesh_rules_client.h"
#include "identity/cli/rules_output.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status List(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshListing> listing = (*rules)->List(arguments.Value("--workload"));
  if (!listing.ok()) return listing.status();
  ShowPolicies(listing->policies, SystemClock().Now(), output);
  return absl::OkStatus();
}

absl::Status Delete(const Arguments& arguments, Output& output) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const std::string name = arguments.Value("name");
  if (absl::Status deleted = (*rules)->Delete({name}, {}); !deleted.ok()) return deleted;
  if (output.json()) {
    output.Json({{"kind", "policy"}, {"name", name}});
  } else {
    output.Text(absl::StrCat("deleted policy ", name, "\n"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> IdOf(const Arguments& arguments, const char* flag) {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(arguments.Value(flag));
  if (!id.ok()) return UsageError(absl::StrCat(flag, ": ", id.status().message()));
  if (!id->has_path()) return UsageError(absl::StrCat(flag, " names a trust domain; write a workload's SPIFFE ID"));
  return id;
}

absl::StatusOr<Call> CallOf(const Arguments& arguments) {
  const absl::StatusOr<SpiffeId> workload = IdOf(arguments, "--workload");
  if (!workload.ok()) return workload.status();
  uint32_t port = 0;
  if (!absl::SimpleAtoi(arguments.Value("--port"), &port) || port < 1 || port > 65535) {
    return UsageError(absl::StrCat("--port is '", arguments.Value("--port"), "'; it must be 1 to 65535"));
  }
  Call call{*workload, static_cast<uint16_t>(port), std::nullopt};
  if (arguments.Has("--peer") == arguments.Has("--plaintext")) {
    return UsageError("say who calls: --peer with a SPIFFE ID, or --plaintext");
  }
  if (arguments.Has("--plaintext")) {
    if (!arguments.Has("--serial") && !arguments.Has("--agent")) return call;
    return UsageError("--serial and --agent are of a caller with an SVID; leave out --plaintext");
  }
  const absl::StatusOr<SpiffeId> peer = IdOf(arguments, "--peer");
  if (!peer.ok()) return peer.status();
  call.peer = *peer;
  const std::string& serial = arguments.Value("--serial");
  if (!serial.empty()) {
    const absl::StatusOr<BanSubject> parsed = BanSubject::Parse(absl::StrCat("serial:", serial));
    if (!parsed.ok()) return UsageError(absl::StrCat("--serial: ", parsed.status().message()));
    call.serial = parsed->text();
  }
  std::string agent = arguments.Value("--agent");
  if (agent.empty()) return call;
  if (!absl::StrContains(agent, "/")) {
    agent = absl::StrCat("spiffe://", peer->trust_domain().name(), "/lanyard/agent/", agent);
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(agent);
  if (!id.ok()) return UsageError(absl::StrCat("--agent: ", id.status().message()));
  call.agent = *std::move(id);
  return call;
}

absl::StatusOr<CallDecision> DecisionOf(const Arguments& arguments) {
  const absl::StatusOr<Call> call = CallOf(arguments);
  if (!call.ok()) return call.status();
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshListing> listing = (*rules)->List(call->workload.ToString());
  if (!listing.ok()) return listing.status();
  absl::StatusOr<std::vector<Ban>> bans = (*rules)->ListBans();
  if (!bans.ok()) return bans.status();
  std::vector<WorkloadPolicy> policies;
  for (const ListedPolicy& listed : listing->policies) policies.push_back(listed.policy);
  return Decide(policies, BanSet(*std::move(bans)), *call, SystemClock().Now());
}

nlohmann::ordered_json ToJson(const CallDecision& decision) {
  nlohmann::ordered_json considered = nlohmann::ordered_json::array();
  for (const ConsideredRule& rule : decision.considered) {
    considered.push_back(
        {{"policy", rule.policy}, {"rule", rule.rule}, {"allows", rule.allows}, {"reason", rule.reason}});
  }
  return {{"allowed", decision.allowed},
          {"reason", decision.reason},
          {"policy", decision.policy},
          {"rule", decision.rule},
          {"considered", considered}};
}

absl::Status Test(const Arguments& arguments, Output& output) {
  const absl::StatusOr<CallDecision> decision = DecisionOf(arguments);
  if (!decision.ok()) return decision.status();
  if (output.json()) {
    output.Json(ToJson(*decision));
  } else {
    output.Text(absl::StrCat(decision->reason, "\n"));
  }
  // The answer is the exit code; it has been said already.
  return decision->allowed ? absl::OkStatus() : DeniedError("");
}

absl::Status Explain(const Arguments& arguments, Output& output) {
  const absl::StatusOr<CallDecision> decision = DecisionOf(arguments);
  if (!decision.ok()) return decision.status();
  if (output.json()) {
    output.Json(ToJson(*decision));
    return absl::OkStatus();
  }
  output.Text(absl::StrCat(decision->reason, "\n"));
  for (const ConsideredRule& rule : decision->considered) {
    output.Text(absl::StrCat("  ", rule.allows ? "allows  " : "does not", "  ", rule.policy, "/", rule.rule, ": ",
                             rule.reason, "\n"));
  }
  return absl::OkStatus();
}

std::vector<Flag> CallFlags() {
  return WithAuthorityFlags({{.name = "--workload", .help = "SPIFFE ID of who is called", .required = true},
                             {.name = "--port", .help = "The port that the caller dials", .required = true},
                             {.name = "--peer", .help = "SPIFFE ID of the caller"},
                             {.name = "--serial", .help = "Of the caller's SVID: then bans of it count"},
                             {.name = "--agent",
                              .help = "Name or SPIFFE ID of the caller's agent: then bans of it count"},
                             {.name = "--plaintext",
                              .help = "The caller has no mesh TLS, and so no SPIFFE ID",
                              .kind = Flag::Kind::kSwitch}});
}

}  // namespace

Command PolicyCommand() {
  Command list = {
      .name = "list",
      .summary = "Show policies; with -o json as a file that apply reads",
      .examples = "  lanyard policy list\n  lanyard policy list --workload spiffe://example.org/web\n",
      .flags = WithAuthorityFlags({{.name = "--workload", .help = "Only policies that speak of this SPIFFE ID"}}),
      .run = List};
  Command remove = {.name = "delete",
                    .summary = "Take a policy back; connections that only it allowed are closed",
                    .examples = "  lanyard policy delete web\n",
                    .flags = WithAuthorityFlags({{.name = "name", .help = "The policy's name", .required = true}}),
                    .run = Delete};
  Command test = {.name = "test",
                  .summary = "Is this call allowed? Exit code 0: yes, 3: no, 1: it could not be asked",
                  .examples =
                      "  lanyard policy test --workload spiffe://example.org/web --port 80 \\\n"
                      "      --peer spiffe://example.org/shop\n"
                      "  lanyard policy test --workload spiffe://example.org/web --port 9000 --plaintext\n"
                      "No (3) is also the answer where no policy speaks of the workload.\n",
                  .flags = CallFlags(),
                  .run = Test};
  Command explain = {.name = "explain",
                     .summary = "Which policy and rule, or which ban, decides a call, and why the others do not",
                     .examples =
                         "  lanyard policy explain --workload spiffe://example.org/web --port 80 \\\n"
                         "      --peer spiffe://example.org/shop\n"
                         "  lanyard policy explain --workload spiffe://example.org/web --port 80 --plaintext -o json\n"
                         "Exit code 0 whether it is allowed or denied, 1: it could not be asked.\n",
                     .flags = CallFlags(),
                     .run = Explain};
  return {.name = "policy",
          .summary = "Who may call which workload",
          .examples =
              "  lanyard policy apply -f rules.yaml\n"
              "  lanyard policy explain --workload spiffe://example.org/web --port 80 "
              "--peer spiffe://example.org/shop\n",
          .children = {ApplyCommand("policy"), list, remove, test, explain, PolicyReplayCommand()}};
}

}  // namespace lanyard
