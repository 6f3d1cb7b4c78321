// The rules of capture as nft commands. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "identity/capture/rules.h"

namespace lanyard {

inline constexpr char kCaptureTable[] = "inet lanyard";

// Of a packet: to be delivered on this machine whatever its destination (policy_routes.h). Low bits, which other
// users of marks (kube-proxy, Calico, Cilium) leave alone. Of a connection: why.
inline constexpr uint32_t kDeliverHereMark = 0x4c;
inline constexpr uint32_t kOutboundConnectionMark = 0x4c;   // captured by TPROXY on its way out
inline constexpr uint32_t kInboundConnectionMark = 0x4e;    // captured by TPROXY on its way in
inline constexpr uint32_t kPreservedConnectionMark = 0x4d;  // the proxy's to a local server, from its caller's address

// The shape of the rules that this version writes: another number was written by another version.
inline constexpr int kCaptureShape = 4;
// A chain that no packet enters. Its rules' comments are "shape N" and the words of CaptureRules.
inline constexpr char kNotesChain[] = "notes";
inline constexpr char kShapeNote[] = "shape";

// One transaction that puts these rules into force whatever was there before. `cgroup_mount`: CaptureEnvironment's.
std::string CaptureUpScript(const CaptureRules& rules, absl::string_view cgroup_mount = "/sys/fs/cgroup");
// One transaction that removes them; it succeeds where none are.
std::string CaptureDownScript();

// True if these rules lead packets back to this machine: they need policy routes.
bool NeedsPolicyRoutes(const CaptureRules& rules);

}  // namespace lanyard
