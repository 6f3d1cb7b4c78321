// Who calls the Workload API, as selectors. What cannot be found out is left out: it then matches nothing.
#pragma once

#include "absl/status/statusor.h"
#include "identity/agent/process_info.h"
#include "identity/agent/workload_view.h"
#include "identity/channel/local_server.h"

namespace lanyard {

// unix:uid, unix:gid (by the connection's kernel credentials), unix:supplementary_gid, unix:user, unix:group (names of
// uid and gid) and unix:path. Blocks on files.
// PermissionDenied when the caller exited, or is not visible to the agent (another pid namespace): whatever was read
// by its pid may be another process's. `unknown`, unless null, gets the kinds that were left out for a reason which may
// pass, as a lack of descriptors.
absl::StatusOr<SelectorSet> RecognizeCaller(const LocalPeer& peer, ProcessInfo& processes,
                                            SelectorKinds* unknown = nullptr);

// Adds unix:sha256 to what RecognizeCaller found out, which takes reading the whole binary. PermissionDenied when the
// caller exited. `unknown` likewise.
absl::Status AddSha256(const LocalPeer& peer, ProcessInfo& processes, SelectorSet& selectors,
                       SelectorKinds* unknown = nullptr);

}  // namespace lanyard
