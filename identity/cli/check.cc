// lanyard check: is everything reachable, in time and readable from here?
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "identity/base/clock.h"
#include "identity/capture/capture.h"
#include "identity/cli/admin_client.h"
#include "identity/cli/commands.h"
#include "identity/cli/findings.h"

namespace lanyard {
namespace {

constexpr int kBetweenLooksMs = 200;
constexpr absl::Duration kProbeTimeout = absl::Seconds(2);

const std::vector<std::string>& Parts() {
  static const auto& parts = *new std::vector<std::string>{"authority", "agent", "proxy", "capture"};
  return parts;
}

absl::StatusOr<std::vector<std::string>> PartsToCheck(const Arguments& arguments) {
  std::vector<std::string> parts = Parts();
  for (const std::string& value : arguments.List("--skip")) {
    for (absl::string_view name : absl::StrSplit(value, ',')) {
      const auto found = std::find(Parts().begin(), Parts().end(), name);
      if (found == Parts().end()) {
        return UsageError(absl::StrCat("--skip is '", name, "'; it can be ", absl::StrJoin(Parts(), ", ")));
      }
      parts.erase(std::remove(parts.begin(), parts.end(), name), parts.end());
    }
  }
  return parts;
}

absl::Status CheckPart(const std::string& part, const Arguments& arguments, std::vector<Finding>& findings) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  std::vector<Finding> found;
  if (part == "authority") {
    RegistryClient authority(arguments.Value(kAuthoritySocketFlag), *timeout);
    const absl::StatusOr<AuthorityStatus> status = authority.GetStatus();
    found = JudgeAuthority(status, SystemClock().Now());  // now, not before the wait for the answer
    if (status.ok()) {
      MeshRulesClient rules(arguments.Value(kAuthoritySocketFlag), *timeout);
      found.push_back(
          JudgeAgents(authority.ListAgents(), rules.ListBans().value_or(std::vector<Ban>()), SystemClock().Now()));
    }
  } else if (part == "agent") {
    const absl::StatusOr<std::string> address = WorkloadApiAddress(arguments.Value(kWorkloadSocketFlag), "");
    if (!address.ok()) return UsageError(absl::StrCat(kWorkloadSocketFlag, ": ", address.status().message()));
    const Progress progress(absl::StrCat("waiting for the agent at ", *address));
    const absl::StatusOr<WorkloadIdentity> identity = FetchWorkloadIdentity(*address, *timeout);
    found = JudgeIdentity(identity, *address, getuid(), SystemClock().Now());
    // Else nobody answers; an agent without a state of the authority answers, and has no identity for anybody yet.
    if (found.front().level == Finding::Level::kGood || absl::IsUnavailable(identity.status())) {
      const absl::StatusOr<NodeRecord> node = GetNodeStatus(*address, *timeout);
      if (!absl::IsUnavailable(node.status())) found.push_back(JudgeNode(node, SystemClock().Now()));
    }
  } else if (part == "proxy") {
    const std::string& address = arguments.Value("--proxy-admin");
    const Progress progress(absl::StrCat("waiting for the proxy at ", address));
    const absl::StatusOr<AdminAnswer> ready = GetAdminPage(address, "/ready", *timeout);
    found = {JudgeProxy(ready, address)};
    if (ready.ok()) {
      const absl::StatusOr<AdminAnswer> view = GetAdminPage(address, "/view", *timeout);
      found.push_back(JudgeView(view));
      for (Finding& finding : JudgeConfiguration(view)) found.push_back(std::move(finding));
    }
  } else {
    const absl::StatusOr<std::optional<CaptureInForce>> capture = FindCapture(SystemCaptureEnvironment());
    if (capture.ok() && capture->has_value()) {
      found = JudgeCaptureInForce(CheckCapture(/*inbound=*/false, std::min(*timeout, kProbeTimeout)));
    } else {
      found = {JudgeCapture(capture.ok() ? absl::StatusOr<bool>(false) : capture.status())};
    }
  }
  findings.insert(findings.end(), found.begin(), found.end());
  return absl::OkStatus();
}

absl::Status Check(const Arguments& arguments, Output& output) {
  const absl::StatusOr<std::vector<std::string>> parts = PartsToCheck(arguments);
  if (!parts.ok()) return parts.status();
  const absl::StatusOr<absl::Duration> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const absl::Time until = SystemClock().Now() + *wait;
  std::optional<Progress> progress;
  if (*wait > absl::ZeroDuration()) progress.emplace("waiting until all is well");
  while (true) {
    std::vector<Finding> findings;
    for (const std::string& part : *parts) {
      if (const absl::Status checked = CheckPart(part, arguments, findings); !checked.ok()) return checked;
    }
    if (!HasProblem(findings) || SystemClock().Now() >= until) return ReportFindings(findings, output);
    poll(nullptr, 0, kBetweenLooksMs);  // nothing tells when an agent, a proxy or rules appear
  }
}

}  // namespace

Command CheckCommand() {
  std::vector<Flag> flags = WithAuthorityFlags({});
  flags.back() = {.name = kWaitFlag, .help = "Look again until there is no problem, so long at most, such as 30s"};
  flags.push_back({.name = kWorkloadSocketFlag,
                   .help = "The agent's Workload API",
                   .fallback = "unix:///run/lanyard/agent.sock",
                   .environment = "SPIFFE_ENDPOINT_SOCKET"});
  flags.push_back({.name = "--proxy-admin", .help = "The proxy's admin address", .fallback = "127.0.0.1:15000"});
  flags.push_back({.name = "--skip",
                   .help = "What is not on this machine: authority, agent, proxy, capture",
                   .kind = Flag::Kind::kList});
  return {.name = "check",
          .summary = "Is everything reachable, in time, readable? Each problem with its remedy",
          .examples = "  lanyard check\n  lanyard check --wait 30s\n"
                      "  lanyard check --skip authority,capture -o json\n"
                      "Exit code 1 where there is a problem; what is only noted is none.\n",
          .flags = flags,
          .run = Check};
}

}  // namespace lanyard
