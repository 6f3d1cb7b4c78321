#include "identity/cli/findings.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "identity/cli/output.h"
#include "identity/spiffe/verify.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Level = Finding::Level;

// SVIDs are back-dated by ten seconds by default; a clock further off refuses fresh ones.
constexpr absl::Duration kSkewLimit = absl::Seconds(5);
// An active authority with less than a tenth of its life left should have been replaced.
constexpr int kRemainingShare = 10;

std::string Sentence(const absl::Status& status) { return std::string(status.message()); }

uint64_t NumberOf(const nlohmann::json& object, const char* name) {
  return object.contains(name) && object[name].is_number_unsigned() ? object[name].get<uint64_t>() : 0;
}

std::string TextOf(const nlohmann::json& object, const char* name) {
  return object.contains(name) && object[name].is_string() ? object[name].get<std::string>() : "";
}

Finding JudgeClock(absl::Time authority_now, absl::Time now) {
  const absl::Duration skew = authority_now - now;
  const std::string text = absl::FormatDuration(absl::Trunc(absl::AbsDuration(skew), absl::Milliseconds(1)));
  if (absl::AbsDuration(skew) <= kSkewLimit)
    return {Level::kGood, "clock", absl::StrCat(text, " from the authority's"), ""};
  return {
      Level::kProblem, "clock",
      absl::StrCat("this machine is ", text, skew > absl::ZeroDuration() ? " behind" : " ahead of", " the authority"),
      "set both clocks by NTP: certificates are valid by the clock of whoever checks them"};
}

Finding JudgeSigning(const SigningAuthorityRecord& authority, absl::Time now) {
  const std::string what = absl::StrCat("active ", authority.kind, " ", authority.serial);
  const absl::Duration remaining = authority.not_after - now;
  if (remaining <= absl::ZeroDuration()) {
    return {Level::kProblem, "signing", absl::StrCat(what, " expired ", RelativeTime(authority.not_after, now)),
            "see the authority's log for why it did not rotate, and restart it"};
  }
  if (remaining * kRemainingShare < authority.not_after - authority.not_before) {
    return {Level::kProblem, "signing",
            absl::StrCat(what, " expires ", RelativeTime(authority.not_after, now), " and has not been replaced"),
            "see the authority's log for why it does not rotate"};
  }
  return {Level::kGood, "signing",
          absl::StrCat(what, " expires ", RelativeTime(authority.not_after, now),
                       authority.sha256.empty() ? "" : ", sha256 ", authority.sha256),
          ""};
}

Finding JudgeSvid(const X509Svid& svid, const BundleSet& bundles, absl::Time now) {
  const absl::StatusOr<VerifiedSvid> verified = VerifySvid(svid.chain(), bundles, now);
  if (!verified.ok()) {
    return {Level::kProblem, "identity", absl::StrCat(svid.id().ToString(), ": ", Sentence(verified.status())),
            "peers will refuse it for the same reason; see the agent's log for why it was not renewed"};
  }
  return {Level::kGood, "identity",
          absl::StrCat(svid.id().ToString(), " verifies, expires ", RelativeTime(svid.not_after(), now)), ""};
}

// Enough of them to go on with.
std::string Several(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  if (names.size() <= kShown) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kShown, ", "), " and ", names.size() - kShown,
                      " more");
}

std::string LevelName(Finding::Level level) {
  switch (level) {
    case Finding::Level::kGood:
      return "ok";
    case Finding::Level::kNote:
      return "note";
    case Finding::Level::kProblem:
      return "problem";
  }
  return "problem";
}

Colour LevelColour(Finding::Level level) {
  if (level == Finding::Level::kGood) return Colour::kGreen;
  return level == Finding::Level::kNote ? Colour::kYellow : Colour::kRed;
}

void Show(const std::vector<Finding>& findings, bool good, Output& output) {
  if (output.json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Finding& finding : findings) {
      list.push_back({{"level", LevelName(finding.level)},
                      {"subject", finding.subject},
                      {"detail", finding.detail},
                      {"remedy", finding.remedy}});
    }
    output.Json({{"ok", good}, {"findings", list}});
    return;
  }
  for (const Finding& finding : findings) {
    const std::string level = LevelName(finding.level);
    output.Text(absl::StrCat(output.Coloured(LevelColour(finding.level), level), std::string(9 - level.size(), ' '),
                             finding.subject, ": ", finding.detail, "\n"));
    if (!finding.remedy.empty()) output.Text(absl::StrCat("         ", finding.remedy, "\n"));
  }
}

}  // namespace

std::vector<Finding> JudgeAuthority(const absl::StatusOr<AuthorityStatus>& status, absl::Time now) {
  if (!status.ok()) {
    return {{Level::kProblem, "authority", Sentence(status.status()),
             "on a machine that runs no authority, use --skip authority"}};
  }
  std::vector<Finding> findings = {
      {Level::kGood, "authority",
       absl::StrCat(status->trust_domain, ", version ", status->version, ", ", status->entries, " entries, ",
                    status->agents, " agents, serving agents at ", status->grpc_address),
       ""},
      JudgeClock(status->now, now)};
  bool signs = false;
  for (const SigningAuthorityRecord& authority : status->authorities) {
    if (authority.state != "active") continue;
    signs = signs || authority.kind == "intermediate";
    findings.push_back(JudgeSigning(authority, now));
  }
  if (!signs) {
    findings.push_back({Level::kProblem, "signing", "there is no active intermediate, so nothing can be signed",
                        "see the authority's log, and restart it"});
  }
  return findings;
}

Finding JudgeAgents(const absl::StatusOr<std::vector<AgentRecord>>& agents, const std::vector<Ban>& bans,
                    absl::Time now) {
  if (!agents.ok()) return {Level::kNote, "agents", Sentence(agents.status()), "ask again"};
  const BanSet banned(bans);
  std::vector<std::string> away, shut_out;
  for (const AgentRecord& agent : *agents) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(agent.spiffe_id);
    if (id.ok() && banned.FindAgent(*id, agent.svid_serial, now) != nullptr) {
      shut_out.push_back(agent.spiffe_id);
    } else if (!agent.connected) {
      away.push_back(agent.spiffe_id);
    }
  }
  const std::string bans_text = shut_out.empty() ? "" : absl::StrCat("; banned: ", Several(shut_out));
  if (!away.empty()) {
    return {Level::kProblem, "agents",
            absl::StrCat(away.size(), " of ", agents->size(), " not connected: ", Several(away), bans_text),
            "see that lanyard-agent runs there and reaches this authority; one that is gone for good is forgotten by "
            "`lanyard agent delete`"};
  }
  return {shut_out.empty() ? Level::kGood : Level::kNote, "agents",
          absl::StrCat(agents->size() - shut_out.size(), " connected", bans_text),
          shut_out.empty() ? "" : "see `lanyard bans` for why and until when"};
}

Finding JudgeNode(const absl::StatusOr<NodeRecord>& node, absl::Time now) {
  if (absl::IsUnimplemented(node.status())) {
    return {Level::kNote, "node", "the agent does not say how it stands with its authority",
            "see its log, or use a lanyard-agent of this version"};
  }
  if (!node.ok()) return {Level::kProblem, "node", Sentence(node.status()), "see that lanyard-agent still runs"};
  if (node->connected && !node->last_error.empty()) {
    return {Level::kProblem, "node", absl::StrCat(node->agent, " is connected, but: ", node->last_error),
            "delete entries that nobody needs, and give the others a parent"};
  }
  if (node->connected) {
    return {Level::kGood, "node",
            absl::StrCat(node->agent, " connected to the authority at ", node->authority, ", ",
                         RelativeTime(node->since, now)),
            ""};
  }
  return {Level::kProblem, "node",
          absl::StrCat(node->agent.empty() ? "this node" : node->agent, " is not connected to the authority at ",
                       node->authority, " (since ", TimeText(node->since), ")",
                       node->last_error.empty() ? "" : ": ", node->last_error),
          "nothing is renewed until it is: see that the authority runs, is reached at this address from here, and has "
          "not banned or deleted this agent"};
}

std::vector<Finding> JudgeIdentity(const absl::StatusOr<WorkloadIdentity>& identity, const std::string& address,
                                   unsigned uid, absl::Time now) {
  if (absl::IsPermissionDenied(identity.status())) {
    return {{Level::kGood, "agent", absl::StrCat("answers at ", address), ""},
            {Level::kNote, "identity",
             absl::StrCat("this process (uid ", uid, ") has none: ", Sentence(identity.status())),
             "run this as the workload to check its SVID"}};
  }
  if (!identity.ok()) {
    return {{Level::kProblem, "agent", absl::StrCat("no answer at ", address, ": ", Sentence(identity.status())),
             "start lanyard-agent, name its socket with --socket, or use --skip agent"}};
  }
  std::vector<Finding> findings = {{Level::kGood, "agent", absl::StrCat("answers at ", address), ""}};
  for (const X509Svid& svid : identity->svids) findings.push_back(JudgeSvid(svid, identity->bundles, now));
  return findings;
}

Finding JudgeProxy(const absl::StatusOr<AdminAnswer>& answer, const std::string& address) {
  if (!answer.ok()) {
    return {Level::kProblem, "proxy", absl::StrCat("no answer at ", address, ": ", Sentence(answer.status())),
            "start lanyard-proxy, name its admin address with --proxy-admin, or use --skip proxy"};
  }
  if (answer->code == 200) return {Level::kGood, "proxy", absl::StrCat("ready at ", address), ""};
  return {Level::kProblem, "proxy",
          absl::StrCat("not ready at ", address, ": ", answer->code, " ", absl::StripAsciiWhitespace(answer->body)),
          "it waits for its identity: see its log, and that an entry matches its user"};
}

Finding JudgeView(const absl::StatusOr<AdminAnswer>& answer) {
  if (!answer.ok()) return {Level::kNote, "view", Sentence(answer.status()), "see that the proxy still runs"};
  const nlohmann::json view = nlohmann::json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  if (answer->code != 200 || !view.is_object() || !view.contains("mesh")) {
    return {Level::kNote, "view", "the proxy's /view is not as this version writes it",
            "use the `lanyard` of the proxy's version"};
  }
  const nlohmann::json& mesh = view["mesh"];
  if (!mesh.is_object()) return {Level::kGood, "view", "the proxy has no mesh: its file is all there is", ""};
  const uint64_t has = NumberOf(mesh, "view_version"), applied = NumberOf(mesh, "applied_version");
  if (mesh.contains("refused") && mesh["refused"].is_object()) {
    return {Level::kProblem, "view",
            absl::StrCat("the proxy refused view ", NumberOf(mesh["refused"], "version"), " and keeps ", applied, ": ",
                         TextOf(mesh["refused"], "error")),
            "mend what the registry says of this workload, or bring the proxy to the authority's version"};
  }
  if (!mesh.contains("connected") || mesh["connected"] != true) {
    const std::string error = TextOf(mesh, "last_error");
    return {Level::kProblem, "view",
            absl::StrCat("stale: the proxy works with view ", has, " from ", TextOf(mesh, "source"),
                         " and does not hear of newer ones", error.empty() ? "" : ": ", error),
            "see that its agent runs, and that mesh.address in proxy.yaml is the agent's socket"};
  }
  const uint64_t published = NumberOf(view, "version"), acknowledged = NumberOf(view, "acknowledged_version");
  if (applied < has || acknowledged < published) {
    return {Level::kProblem, "view",
            absl::StrCat("behind: the proxy has view ", has, " of the mesh, and its workers are at ", applied),
            "ask again; if it stays so, a worker of the proxy hangs: see its log, and restart it"};
  }
  return {Level::kGood, "view", absl::StrCat("the proxy runs view ", has, " of the mesh"), ""};
}

std::vector<Finding> JudgeConfiguration(const absl::StatusOr<AdminAnswer>& answer) {
  if (!answer.ok() || answer->code != 200) return {};  // JudgeView says so
  const nlohmann::json view = nlohmann::json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  if (!view.is_object() || !view.contains("configuration_refused")) return {};
  const std::string refused = TextOf(view, "configuration_refused");
  if (refused.empty()) return {{Level::kGood, "configuration", "the proxy's file is in force as it stands", ""}};
  return {{Level::kProblem, "configuration",
           absl::StrCat("the proxy refused its file as it stands now, and keeps what it read before: ", refused),
           "mend the file: with it a restart would fail, or change what needs one"}};
}

std::vector<Finding> JudgeCaptureInForce(const std::vector<Finding>& findings) {
  std::vector<Finding> judged;
  for (const Finding& finding : findings) {
    if (finding.level != Level::kProblem) continue;
    judged.push_back({Level::kProblem, "capture", absl::StrCat(finding.subject, ": ", finding.detail), finding.remedy});
  }
  if (!judged.empty()) return judged;
  return {{Level::kGood, "capture", "in force in this network namespace, and the proxy takes what it leads there", ""}};
}

Finding JudgeCapture(const absl::StatusOr<bool>& captured) {
  if (!captured.ok()) {
    return {Level::kNote, "capture", Sentence(captured.status()), "run this as root to see the rules"};
  }
  if (*captured) {
    return {Level::kGood, "capture", "in force in this network namespace (`lanyard capture check` tries it)", ""};
  }
  return {Level::kProblem, "capture", "no capture in this network namespace: connections bypass the proxy",
          "run `lanyard capture up --proxy-uid USER`, or use --skip capture where the proxy has static listeners"};
}

bool HasProblem(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.level == Level::kProblem; });
}

absl::Status ReportFindings(const std::vector<Finding>& findings, Output& output) {
  const auto problems = std::count_if(findings.begin(), findings.end(),
                                      [](const Finding& finding) { return finding.level == Level::kProblem; });
  Show(findings, problems == 0, output);
  if (problems == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(problems, problems == 1 ? " problem" : " problems"));
}

}  // namespace lanyard
