#include "identity/agent/caller.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

// There is no such name or file, it is not for the agent to see, or is none to go by: it will be so the next time.
bool IsLasting(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status) || absl::IsFailedPrecondition(status) ||
         absl::IsInvalidArgument(status) || absl::IsOutOfRange(status);
}

void Explain(const char* kind, const absl::Status& why, const LocalPeer& peer, SelectorKinds* unknown) {
  if (unknown != nullptr && !IsLasting(why)) unknown->insert(kind);
  if (!LogEnabled(LogLevel::kDebug)) return;
  Log(LogLevel::kDebug, "selector left out",
      {{"selector", kind}, {"pid", peer.pid()}, {"uid", peer.uid()}, {"error", why}});
}

void AddOrExplain(SelectorSet& selectors, const char* kind, const absl::StatusOr<std::string>& value,
                  const LocalPeer& peer, SelectorKinds* unknown) {
  if (value.ok()) {
    selectors.insert(absl::StrCat(kind, *value));
  } else {
    Explain(kind, value.status(), peer, unknown);
  }
}

}  // namespace

absl::StatusOr<SelectorSet> RecognizeCaller(const LocalPeer& peer, ProcessInfo& processes, SelectorKinds* unknown) {
  if (peer.pid() <= 0) {
    return absl::PermissionDeniedError(
        "the caller's process is not visible to the agent; run both in one pid namespace");
  }
  SelectorSet selectors;
  selectors.insert(absl::StrCat("unix:uid:", peer.uid()));
  selectors.insert(absl::StrCat("unix:gid:", peer.gid()));
  AddOrExplain(selectors, "unix:user:", processes.UserName(peer.uid()), peer, unknown);
  AddOrExplain(selectors, "unix:group:", processes.GroupName(peer.gid()), peer, unknown);
  const absl::StatusOr<std::vector<gid_t>> groups = processes.SupplementaryGids(peer.pid());
  if (groups.ok()) {
    for (const gid_t gid : *groups) selectors.insert(absl::StrCat("unix:supplementary_gid:", gid));
  } else {
    Explain("unix:supplementary_gid:", groups.status(), peer, unknown);
  }
  const absl::StatusOr<std::string> path = processes.ExecutablePath(peer.pid());
  AddOrExplain(selectors, "unix:path:", path, peer, unknown);
  // Last: everything above was read by a number that may have been given to another process.
  if (!peer.Alive()) return absl::PermissionDeniedError("the process that connected has exited");
  return selectors;
}

absl::Status AddSha256(const LocalPeer& peer, ProcessInfo& processes, SelectorSet& selectors, SelectorKinds* unknown) {
  AddOrExplain(selectors, "unix:sha256:", processes.ExecutableSha256(peer.pid()), peer, unknown);
  if (!peer.Alive()) return absl::PermissionDeniedError("the process that connected has exited");
  return absl::OkStatus();
}

}  // namespace lanyard
