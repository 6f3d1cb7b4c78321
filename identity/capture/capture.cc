#include "identity/capture/capture.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/capture/cgroup_mount.h"
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

absl::Status StopNftables() {
  absl::Status status = ApplyNftables(CaptureDownScript());
  if (status.ok()) status = RemovePolicyRoutes();
  return status;
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
    case CaptureMode::kTproxy: return StartNftables(rules, environment);
  }
  return absl::InternalError("a mode of capture without a mechanism");
}

absl::Status StopCapture() { return StopNftables(); }

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
  absl::StatusOr<std::string> table = ListNftablesTable(kCaptureTable, /*json=*/true);
  if (absl::IsNotFound(table.status())) return std::optional<CaptureInForce>();
  if (!table.ok()) return table.status();
  absl::StatusOr<CaptureInForce> found = ParseCaptureListing(*std::move(table), environment);
  if (!found.ok()) return found.status();
  return std::optional<CaptureInForce>(*std::move(found));
}

}  // namespace lanyard
