#include "identity/capture/capture.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "identity/capture/cgroup_mount.h"
#include "identity/capture/ebpf/hooks.h"
#include "identity/capture/ebpf/tables.h"
#include "identity/capture/nftables.h"
#include "identity/capture/policy_routes.h"
#include "identity/capture/script.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::Status CheckCgroups(const CaptureRules& rules, const std::string& mount) {
  for (const auto* cgroups : {&rules.include_cgroups, &rules.exclude_cgroups}) {
    for (const Cgroup& cgroup : *cgroups) {
      struct stat found {};
      const std::string path = absl::StrCat(mount, "/", cgroup.ToString());
      if (stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) continue;
      return absl::NotFoundError(absl::StrCat("there is no cgroup ", path,
                                              ": start what runs in it first, for the rules name the cgroup that is "
                                              "there now"));
    }
  }
  return absl::OkStatus();
}

// The rules are the switch, in one transaction; routes that nothing is marked for change nothing.
absl::Status StartNftables(const CaptureRules& rules, const CaptureEnvironment& environment) {
  if (const absl::Status there = CheckCgroups(rules, environment.cgroup_mount); !there.ok()) return there;
  if (const absl::Status allowed = CheckNetworkAdministrator(); !allowed.ok()) return allowed;
  const absl::StatusOr<PolicyRoutes> before = FindPolicyRoutes();
  if (!before.ok()) return before.status();
  const bool needed = NeedsPolicyRoutes(rules);
  if (needed) {
    if (const absl::Status added = AddPolicyRoutes(); !added.ok()) return added;
  }
  const absl::Status applied = ApplyNftables(CaptureUpScript(rules, environment.cgroup_mount));
  if (applied.ok() && needed) return absl::OkStatus();
  if (applied.ok()) return RemovePolicyRoutes();
  if (needed && !before->any()) RemovePolicyRoutes().IgnoreError();
  return applied;
}

// Packet filters of ours. A kernel that cannot list them has none.
bool HasNftables() { return ListNftablesTable(kCaptureTable, /*json=*/false).ok(); }

absl::Status StopNftables() {
  absl::Status status = ApplyNftables(CaptureDownScript());
  if (status.ok()) status = RemovePolicyRoutes();
  return status;
}

std::string NotesOf(const CaptureRules& rules) {
  return absl::StrCat(kShapeNote, " ", kCaptureShape, "\n", absl::StrJoin(WordsOf(rules), "\n"));
}

// Where both are in force for a moment, callers are refused; where neither were, they would not be captured.
absl::Status StartEbpf(const CaptureRules& rules, const CaptureEnvironment& environment) {
  const absl::StatusOr<EbpfSurroundings> surroundings = SurveySurroundings(environment.cgroup_mount);
  if (!surroundings.ok()) return surroundings.status();
  const absl::StatusOr<EbpfTables> tables = MakeEbpfTables(rules, *surroundings);
  if (!tables.ok()) return tables.status();
  const EbpfPlaces places = {.bpf_fs = kBpfFileSystem, .cgroup_root = environment.cgroup_mount};
  if (const absl::Status raised = RaiseHooks(*tables, NotesOf(rules), places); !raised.ok()) return raised;
  return HasNftables() ? StopNftables() : absl::OkStatus();
}

// Adds what the rule counted to its chain's counter; rules without a counter count nothing.
void AddCounters(const nlohmann::json& rule, std::vector<std::pair<std::string, uint64_t>>& counters) {
  if (!rule.contains("expr") || !rule["expr"].is_array()) return;
  for (const auto& statement : rule["expr"]) {
    if (!statement.is_object() || !statement.contains("counter") || !statement["counter"].is_object()) continue;
    const auto& packets = statement["counter"].value("packets", nlohmann::json(0));
    const std::string chain = rule.value("chain", "");
    const auto found =
        std::find_if(counters.begin(), counters.end(), [&](const auto& counter) { return counter.first == chain; });
    auto& counter = found == counters.end() ? counters.emplace_back(chain, 0) : *found;
    if (packets.is_number_unsigned()) counter.second += packets.get<uint64_t>();
  }
}

}  // namespace

CaptureEnvironment SystemCaptureEnvironment() {
  CaptureEnvironment environment;
  environment.cgroup_mount = FindCgroupMount();
  environment.user = [](const std::string& name) -> absl::StatusOr<uid_t> {
    const passwd* user = getpwnam(name.c_str());
    if (user == nullptr) return absl::NotFoundError("no such user");
    return user->pw_uid;
  };
  environment.group = [](const std::string& name) -> absl::StatusOr<gid_t> {
    const group* found = getgrnam(name.c_str());
    if (found == nullptr) return absl::NotFoundError("no such group");
    return found->gr_gid;
  };
  return environment;
}

// A mode with a mechanism of its own is laid here; what another mode laid goes first.
absl::Status StartCapture(const CaptureRules& rules, const CaptureEnvironment& environment) {
  if (const absl::Status whole = CheckCaptureRules(rules); !whole.ok()) return whole;
  switch (rules.mode) {
    case CaptureMode::kRedirect:
    case CaptureMode::kTproxy: {
      const absl::Status started = StartNftables(rules, environment);
      return started.ok() ? LowerHooks(EbpfPlaces()) : started;
    }
    case CaptureMode::kEbpf: return StartEbpf(rules, environment);
  }
  return absl::InternalError("a mode of capture without a mechanism");
}

absl::Status StopCapture() {
  const bool by_ebpf = FindHooks(EbpfPlaces()).ok();
  absl::Status status = LowerHooks(EbpfPlaces());
  if (!by_ebpf || HasNftables()) status.Update(StopNftables());
  return status;
}

absl::StatusOr<CaptureInForce> ParseCaptureNotes(absl::string_view notes, const CaptureEnvironment& environment) {
  std::vector<std::string> words = absl::StrSplit(notes, '\n');
  absl::string_view shape = words.front();
  CaptureInForce found;
  if (!absl::ConsumePrefix(&shape, absl::StrCat(kShapeNote, " ")) || !absl::SimpleAtoi(shape, &found.shape)) {
    return absl::InternalError(absl::StrCat("the notes beside the eBPF programs begin with '", words.front(),
                                            "', which is no shape"));
  }
  if (found.shape != kCaptureShape) return found;
  words.erase(words.begin());
  absl::StatusOr<CaptureRules> rules = RulesFromWords(words, environment);
  if (!rules.ok()) return rules.status();
  found.rules = *std::move(rules);
  return found;
}

absl::StatusOr<CaptureInForce> ParseCaptureListing(std::string nftables_json, const CaptureEnvironment& environment) {
  const auto listing = nlohmann::json::parse(nftables_json, nullptr, /*allow_exceptions=*/false);
  if (!listing.is_object() || !listing.contains("nftables") || !listing["nftables"].is_array()) {
    return absl::InternalError("nftables listed its rules in JSON that cannot be read");
  }
  CaptureInForce found;
  std::vector<std::string> words;
  for (const auto& item : listing["nftables"]) {
    if (!item.is_object() || !item.contains("rule") || !item["rule"].is_object()) continue;
    const auto& rule = item["rule"];
    AddCounters(rule, found.counters);
    if (rule.value("chain", "") != kNotesChain) continue;
    const std::string note = rule.value("comment", "");
    absl::string_view shape = note;
    if (!absl::ConsumePrefix(&shape, absl::StrCat(kShapeNote, " "))) {
      words.push_back(note);
    } else if (!absl::SimpleAtoi(shape, &found.shape)) {
      return absl::InternalError(absl::StrCat("the rules in force have the shape '", shape, "', which is none"));
    }
  }
  found.nftables_json = std::move(nftables_json);
  if (found.shape != kCaptureShape) return found;
  absl::StatusOr<CaptureRules> rules = RulesFromWords(words, environment);
  if (!rules.ok()) return rules.status();
  found.rules = *std::move(rules);
  return found;
}

absl::StatusOr<std::optional<CaptureInForce>> FindCapture(const CaptureEnvironment& environment) {
  absl::StatusOr<HooksInForce> hooks = FindHooks(EbpfPlaces());
  if (!hooks.ok() && !absl::IsNotFound(hooks.status())) return hooks.status();
  if (hooks.ok()) {
    absl::StatusOr<CaptureInForce> by_ebpf = ParseCaptureNotes(hooks->words, environment);
    if (!by_ebpf.ok()) return by_ebpf.status();
    by_ebpf->counters = std::move(hooks->counters);
    return std::optional<CaptureInForce>(*std::move(by_ebpf));
  }
  absl::StatusOr<std::string> table = ListNftablesTable(kCaptureTable, /*json=*/true);
  if (absl::IsNotFound(table.status())) return std::optional<CaptureInForce>();
  if (!table.ok()) return table.status();
  absl::StatusOr<CaptureInForce> found = ParseCaptureListing(*std::move(table), environment);
  if (!found.ok()) return found.status();
  return std::optional<CaptureInForce>(*std::move(found));
}

}  // namespace lanyard
