// lanyard capture: which connections of this network namespace go through the proxy.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "identity/capture/capture.h"
#include "identity/capture/nftables.h"
#include "identity/capture/outside.h"
#include "identity/capture/policy_routes.h"
#include "identity/capture/script.h"
#include "identity/cli/capture_findings.h"
#include "identity/cli/commands.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Kind = CaptureSetting::Kind;

constexpr char kOutboundOnlyFlag[] = "--outbound-only";

// The values of one option: those of a list may also be separated by commas.
std::vector<std::string> ValuesOf(const CaptureSetting& setting, const Arguments& arguments) {
  if (setting.kind == Kind::kValue) return {arguments.Value(setting.flag)};
  if (setting.kind == Kind::kSwitch) return std::vector<std::string>(arguments.Has(setting.flag) ? 1 : 0);
  std::vector<std::string> values;
  for (const std::string& value : arguments.List(setting.flag)) {
    for (absl::string_view item : absl::StrSplit(value, ',')) values.emplace_back(item);
  }
  return values;
}

absl::StatusOr<CaptureRules> ParseRules(const Arguments& arguments, const CaptureEnvironment& environment) {
  CaptureRules rules;
  std::vector<std::string> mistakes;
  for (const CaptureSetting& setting : CaptureSettings()) {
    for (const std::string& value : ValuesOf(setting, arguments)) {
      const absl::Status taken = setting.take(value, environment, rules);
      if (!taken.ok()) mistakes.push_back(absl::StrCat(setting.flag, ": ", taken.message()));
    }
  }
  if (!mistakes.empty()) return UsageError(absl::StrJoin(mistakes, "; "));
  const absl::Status whole = CheckCaptureRules(rules);
  if (!whole.ok()) return UsageError(whole.message());
  return rules;
}

std::string ModeName(CaptureMode mode) {
  if (mode == CaptureMode::kEbpf) return "ebpf";
  return mode == CaptureMode::kTproxy ? "tproxy" : "redirect";
}

// What is in force, as the command that laid it.
std::string CommandOf(const CaptureInForce& found) {
  if (found.shape != kCaptureShape) {
    return "rules of another version of lanyard: lay them anew with `lanyard capture up`\n\n";
  }
  return absl::StrCat("lanyard capture up ", absl::StrJoin(WordsOf(found.rules), " "), "\n\n");
}

// Of mode ebpf, which has no rules to print.
std::string CountersOf(const CaptureInForce& found) {
  std::string text;
  for (const auto& [name, count] : found.counters) absl::StrAppend(&text, name, " ", count, "\n");
  return text;
}

absl::Status Up(const Arguments& arguments, Output& output) {
  const CaptureEnvironment environment = SystemCaptureEnvironment();
  const absl::StatusOr<CaptureRules> rules = ParseRules(arguments, environment);
  if (!rules.ok()) return rules.status();
  if (const absl::Status started = StartCapture(*rules, environment); !started.ok()) return started;
  const std::vector<uint16_t> servers = ServersBehind(*rules, ListTcpSockets());
  if (output.json()) {
    output.Json({{"captured", true},
                 {"mode", ModeName(rules->mode)},
                 {"proxy_uid", rules->proxy_uid},
                 {"outbound_port", rules->outbound_port},
                 {"inbound_port", rules->inbound_port},
                 {"servers", servers}});
  } else {
    output.Text(absl::StrCat("captured by ", ModeName(rules->mode), ": outbound TCP goes to port ",
                             rules->outbound_port, ", inbound TCP to port ", rules->inbound_port, "; uid ",
                             rules->proxy_uid, " is exempt\n"));
  }
  if (const std::string warning = WarningOfServers(servers); !warning.empty()) output.Warn(warning);
  return absl::OkStatus();
}

absl::Status Down(const Arguments&, Output& output) {
  if (const absl::Status stopped = StopCapture(); !stopped.ok()) return stopped;
  if (output.json()) {
    output.Json({{"captured", false}});
  } else {
    output.Text("not captured: the rules are gone\n");
  }
  return absl::OkStatus();
}

absl::Status Show(const Arguments&, Output& output) {
  const absl::StatusOr<std::optional<CaptureInForce>> found = FindCapture(SystemCaptureEnvironment());
  if (!found.ok()) return found.status();
  const bool captured = found->has_value();
  const bool known = captured && (*found)->shape == kCaptureShape;
  const std::vector<std::string> words = known ? WordsOf((*found)->rules) : std::vector<std::string>();
  if (output.json()) {
    nlohmann::ordered_json rules = nlohmann::ordered_json::array();
    nlohmann::ordered_json counters = nlohmann::ordered_json::object();
    if (captured && !(*found)->nftables_json.empty()) {
      rules = nlohmann::ordered_json::parse((*found)->nftables_json)["nftables"];
    }
    if (captured) {
      for (const auto& [name, count] : (*found)->counters) counters[name] = count;
    }
    output.Json({{"captured", captured}, {"options", words}, {"nftables", rules}, {"counters", counters}});
    return absl::OkStatus();
  }
  if (!captured) {
    output.Text("not captured\n");
    return absl::OkStatus();
  }
  if ((*found)->nftables_json.empty()) {
    output.Text(absl::StrCat(CommandOf(**found), CountersOf(**found)));
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> table = ListNftablesTable(kCaptureTable, /*json=*/false);
  if (!table.ok()) return table.status();
  output.Text(CommandOf(**found));
  output.Text(*table);
  return absl::OkStatus();
}

// One connection out and one in, of a family.
std::vector<Finding> SendProbes(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool v6,
                                const std::string& cgroup_mount, bool inbound, absl::Duration timeout) {
  const std::string family = v6 ? "IPv6" : "IPv4";
  absl::StatusOr<ProbePlan> out = PlanProbe(rules, v6, cgroup_mount);
  std::vector<Finding> findings = {
      JudgeProbe(rules, ProxyListens(rules, sockets, v6), family,
                 out.ok() ? Probe(*std::move(out), timeout) : absl::StatusOr<ProbeResult>(out.status()))};
  if (!inbound) return findings;
  const std::string own = OwnAddress(v6);
  const absl::StatusOr<ProbePlan> in = PlanInboundProbe(rules, own.empty() ? Outside::NearAddress(v6) : own);
  findings.push_back(
      JudgeInboundProbe(rules, ProxyListensInbound(rules, sockets, v6), family,
                        in.ok() ? ProbeFromOutside(*in, timeout) : absl::StatusOr<ProbeResult>(in.status())));
  return findings;
}

absl::Status Check(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  return ReportFindings(CheckCapture(!arguments.Has(kOutboundOnlyFlag), *timeout), output);
}

std::vector<Flag> UpFlags() {
  std::vector<Flag> flags;
  for (const CaptureSetting& setting : CaptureSettings()) {
    const Flag::Kind kind = setting.kind == Kind::kList     ? Flag::Kind::kList
                            : setting.kind == Kind::kSwitch ? Flag::Kind::kSwitch
                                                            : Flag::Kind::kValue;
    flags.push_back({.name = setting.flag,
                     .help = setting.help,
                     .kind = kind,
                     .required = setting.required,
                     .fallback = setting.fallback});
  }
  return flags;
}

}  // namespace

// The parts that ask one thing of the kernel, and the judgement of each.
std::vector<Finding> CheckCapture(bool inbound, absl::Duration timeout) {
  const CaptureEnvironment environment = SystemCaptureEnvironment();
  const absl::StatusOr<std::optional<CaptureInForce>> found = FindCapture(environment);
  CaptureRules tproxy;
  tproxy.mode = CaptureMode::kTproxy;
  std::vector<Finding> findings = JudgeCaptureRules(found, TryNftables(CaptureUpScript(CaptureRules())),
                                                    TryNftables(CaptureUpScript(tproxy)));
  if (!found.ok() || !found->has_value() || (*found)->shape != kCaptureShape) return findings;
  const auto add = [&findings](std::vector<Finding> more) {
    findings.insert(findings.end(), more.begin(), more.end());
  };
  const CaptureRules& rules = (*found)->rules;
  const absl::StatusOr<PolicyRoutes> routes = FindPolicyRoutes();
  const bool has_v6 = !routes.ok() || routes->has_v6;
  add(JudgeCaptureRoutes(rules, routes));
  add(JudgeOtherTables(rules, TablesThatTakeConnections(ListNftablesRuleset().value_or(""))));
  const std::vector<TcpSocket> sockets = ListTcpSockets();
  add(JudgeCaptureListeners(rules, sockets, has_v6));
  for (const bool v6 : {false, true}) {
    if (v6 && !has_v6) continue;
    add(SendProbes(rules, sockets, v6, environment.cgroup_mount, inbound, timeout));
  }
  return findings;
}

Command CaptureCommand() {
  Command up = {.name = "up",
                .summary = "Send this network namespace's TCP connections through the proxy",
                .examples =
                    "  lanyard capture up --proxy-uid lanyard-proxy --exclude-uids root\n"
                    "  lanyard capture up --proxy-uid 1337 --include-inbound-ports 80,443 \\\n"
                    "      --exclude-cidrs 169.254.169.254/32\n"
                    "  lanyard capture up --proxy-uid lanyard-proxy --mode tproxy --cgroup system.slice/shop.service\n",
                .flags = UpFlags(),
                .run = Up};
  Command down = {.name = "down",
                  .summary = "Remove the rules and routes of capture; connections that were captured break",
                  .examples = "  lanyard capture down\n",
                  .run = Down};
  Command show = {.name = "show",
                  .summary = "What is captured, as options of `up`, and the rules in force with their counters",
                  .examples = "  lanyard capture show\n  lanyard capture show -o json\n",
                  .run = Show};
  Command check = {.name = "check",
                   .summary = "Send connections through, out and in; say what is wrong, each problem with its remedy",
                   .examples = "  lanyard capture check\n  lanyard capture check --timeout 5s -o json\n"
                               "Exit code 1 where there is a problem.\n",
                   .flags = {{.name = kTimeoutFlag, .help = "How long a probe may take", .fallback = "2s"},
                             {.name = kOutboundOnlyFlag,
                              .help = "Send none in, for which an interface is made and taken away again",
                              .kind = Flag::Kind::kSwitch}},
                   .run = Check};
  return {.name = "capture",
          .summary = "Which connections go through the proxy (by nftables or eBPF, in this network namespace)",
          .examples = "  lanyard capture up --proxy-uid lanyard-proxy\n  lanyard capture show\n",
          .children = {up, down, show, check}};
}

}  // namespace lanyard
