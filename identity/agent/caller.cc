#include "identity/agent/caller.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

void AddOrExplain(SelectorSet& selectors, absl::string_view prefix, const absl::StatusOr<std::string>& value,
                  const LocalPeer& peer) {
  if (value.ok()) {
    selectors.insert(absl::StrCat(prefix, *value));
  } else if (LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "selector left out",
        {{"selector", prefix}, {"pid", peer.pid()}, {"uid", peer.uid()}, {"error", value.status()}});
  }
}

}  // namespace

absl::StatusOr<SelectorSet> RecognizeCaller(const LocalPeer& peer, ProcessInfo& processes) {
  if (peer.pid() <= 0) {
    return absl::PermissionDeniedError(
        "the caller's process is not visible to the agent; run both in one pid namespace");
  }
  SelectorSet selectors;
  selectors.insert(absl::StrCat("unix:uid:", peer.uid()));
  selectors.insert(absl::StrCat("unix:gid:", peer.gid()));
  AddOrExplain(selectors, "unix:user:", processes.UserName(peer.uid()), peer);
  AddOrExplain(selectors, "unix:group:", processes.GroupName(peer.gid()), peer);
  const absl::StatusOr<std::vector<gid_t>> groups = processes.SupplementaryGids(peer.pid());
  if (groups.ok()) {
    for (const gid_t gid : *groups) selectors.insert(absl::StrCat("unix:supplementary_gid:", gid));
  }
  const absl::StatusOr<std::string> path = processes.ExecutablePath(peer.pid());
  AddOrExplain(selectors, "unix:path:", path, peer);
  // Last: everything above was read by a number that may have been given to another process.
  if (!peer.Alive()) return absl::PermissionDeniedError("the process that connected has exited");
  return selectors;
}

absl::Status AddSha256(const LocalPeer& peer, ProcessInfo& processes, SelectorSet& selectors) {
  AddOrExplain(selectors, "unix:sha256:", processes.ExecutableSha256(peer.pid()), peer);
  if (!peer.Alive()) return absl::PermissionDeniedError("the process that connected has exited");
  return absl::OkStatus();
}

}  // namespace lanyard
