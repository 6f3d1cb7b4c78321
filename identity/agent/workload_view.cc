#include "identity/agent/workload_view.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lanyard {
namespace {

bool Matches(const WorkloadEntry& entry, const SelectorSet& caller) {
  return !entry.selectors.empty() && std::all_of(entry.selectors.begin(), entry.selectors.end(),
                                                 [&](const std::string& s) { return caller.contains(s); });
}

// The caller is told what it is in the agent's eyes: nothing that it does not know of itself.
absl::Status NoEntry(const SelectorSet& caller) {
  constexpr size_t kShown = 20;
  std::vector<std::string> selectors(caller.begin(), caller.end());
  std::sort(selectors.begin(), selectors.end());
  const bool knows_path = std::any_of(selectors.begin(), selectors.end(),
                                      [](const std::string& s) { return absl::StartsWith(s, "unix:path:"); });
  const size_t shown = std::min(selectors.size(), kShown);
  return absl::PermissionDeniedError(absl::StrCat(
      "no entry matches this workload, which is ", absl::StrJoin(selectors.begin(), selectors.begin() + shown, " "),
      shown < selectors.size() ? " and more" : "",
      knows_path ? ""
                 : " (the agent may not read its executable, so no unix:path or unix:sha256 matches: run it as root)",
      "; register one with `lanyard entry create` whose selectors are among these"));
}

bool MightMatch(const WorkloadEntry& entry, const SelectorSet& caller, const SelectorKinds& unknown) {
  const auto might = [&](const std::string& selector) {
    return caller.contains(selector) || std::any_of(unknown.begin(), unknown.end(), [&](const std::string& kind) {
             return absl::StartsWith(selector, kind);
           });
  };
  return !Matches(entry, caller) && !entry.selectors.empty() &&
         std::all_of(entry.selectors.begin(), entry.selectors.end(), might);
}

bool IsSha256(const std::string& selector) { return absl::StartsWith(selector, "unix:sha256:"); }

bool AsksForSha256(const WorkloadEntry& entry) {
  return std::any_of(entry.selectors.begin(), entry.selectors.end(), IsSha256);
}

const Ban* BanOf(const WorkloadView& view, const SpiffeId& id, absl::Time now) {
  return view.mesh == nullptr ? nullptr : view.mesh->ban_set.FindId(id, now);
}

bool ValidAt(const X509Svid& svid, absl::Time now) { return svid.not_before() <= now && now < svid.not_after(); }

}  // namespace

bool WantsSha256(const WorkloadView& view) {
  return std::any_of(view.items.begin(), view.items.end(),
                     [](const WorkloadView::Item& item) { return AsksForSha256(*item.entry); });
}

bool WantsSha256(const WorkloadView& view, const SelectorSet& caller) {
  return std::any_of(view.items.begin(), view.items.end(), [&](const WorkloadView::Item& item) {
    return AsksForSha256(*item.entry) &&
           std::all_of(item.entry->selectors.begin(), item.entry->selectors.end(),
                       [&](const std::string& s) { return IsSha256(s) || caller.contains(s); });
  });
}

std::string WorkloadAnswer::Version() const {
  std::string version = bundles.ContentVersion();
  for (const Identity& identity : identities) {
    absl::StrAppend(&version, identity.entry_id.size(), ":", identity.entry_id, identity.svid.leaf().fingerprint(),
                    identity.hint.size(), ":", identity.hint);
  }
  return version;
}

absl::StatusOr<std::vector<SpiffeId>> IdsFor(const WorkloadView& view, const SelectorSet& caller) {
  std::vector<SpiffeId> ids;
  for (const WorkloadView::Item& item : view.items) {
    if (!Matches(*item.entry, caller)) continue;
    if (std::find(ids.begin(), ids.end(), item.entry->spiffe_id) == ids.end()) ids.push_back(item.entry->spiffe_id);
  }
  if (ids.empty()) return NoEntry(caller);
  return ids;
}

absl::StatusOr<WorkloadAnswer> AnswerFor(const WorkloadView& view, const SelectorSet& caller, absl::Time now) {
  WorkloadAnswer answer{.identities = {}, .complete = true, .trust_domain = view.trust_domain, .bundles = view.bundles};
  bool entitled = false;
  const Ban* banned = nullptr;
  absl::flat_hash_set<std::string> hints;
  for (const WorkloadView::Item& item : view.items) {
    if (!Matches(*item.entry, caller)) continue;
    if (const Ban* ban = BanOf(view, item.entry->spiffe_id, now); ban != nullptr) {
      banned = ban;
      continue;
    }
    entitled = true;
    if (!item.svid.has_value() || !ValidAt(*item.svid, now)) {
      answer.complete = answer.complete && item.failed;
      continue;
    }
    const bool unused = hints.insert(item.entry->hint).second;
    answer.identities.push_back({item.entry->id, *item.svid, unused ? item.entry->hint : ""});
  }
  if (!entitled) return banned == nullptr ? NoEntry(caller) : absl::PermissionDeniedError(banned->Explanation());
  return answer;
}

absl::Status RefusalOf(const WorkloadView& view, const SelectorSet& caller, const SelectorKinds& unknown,
                       const absl::Status& why) {
  if (!absl::IsPermissionDenied(why)) return why;
  if (!view.whole) {
    return absl::UnavailableError(absl::StrCat(
        "an entry of this node cannot be read (the agent's log says which); of the others: ", why.message()));
  }
  const bool might = std::any_of(view.items.begin(), view.items.end(), [&](const WorkloadView::Item& item) {
    return MightMatch(*item.entry, caller, unknown);
  });
  if (!might) return why;
  return absl::UnavailableError(absl::StrCat("not everything of the caller could be found out (missing: ",
                                             absl::StrJoin(unknown, " "), "); try again; so far ", why.message()));
}

}  // namespace lanyard
