// Capture in force: laid, taken away and found as one, whatever the mode needs in the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/capture/rules.h"

namespace lanyard {

// This machine: /etc/passwd, /etc/group, /proc/self/mountinfo.
CaptureEnvironment SystemCaptureEnvironment();

// Puts `rules` into force in this network namespace instead of what was there. All of it, or nothing: after an
// error what was in force still is. PermissionDenied without CAP_NET_ADMIN.
absl::Status StartCapture(const CaptureRules& rules, const CaptureEnvironment& environment);

// Takes away what StartCapture laid, of any mode, and nothing else; OK where nothing is.
absl::Status StopCapture();

// What is in force.
struct CaptureInForce {
  int shape = 0;              // 0: of a version before shapes; `rules` count only with kCaptureShape
  CaptureRules rules;
  std::string nftables_json;  // the table, as nft lists it; "" of mode ebpf
  // Of mode ebpf by their names; else the packets that the rules of each chain counted, by the chain's name.
  std::vector<std::pair<std::string, uint64_t>> counters;
};
absl::StatusOr<std::optional<CaptureInForce>> FindCapture(const CaptureEnvironment& environment);

// Likewise of the notes that are kept beside the eBPF programs. Pure.
absl::StatusOr<CaptureInForce> ParseCaptureNotes(absl::string_view notes, const CaptureEnvironment& environment);

// The parts of a listing, in nft's JSON, that Find reads. Pure.
absl::StatusOr<CaptureInForce> ParseCaptureListing(std::string nftables_json, const CaptureEnvironment& environment);

}  // namespace lanyard
