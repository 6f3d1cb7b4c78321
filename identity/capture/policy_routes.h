// Policy routes of this network namespace: packets that capture marked are delivered here, whatever their destination.
// By rtnetlink, both families. What we lay bears our protocol number, so that exactly that is found and removed:
//   ip rule: priority 150, fwmark 0x4c, lookup 15001, proto 76     ip route: local default dev lo table 15001 proto 76
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lanyard {

inline constexpr uint32_t kCaptureRouteTable = 15001;
inline constexpr uint32_t kCaptureRulePriority = 150;  // before the main table's, 32766
inline constexpr uint8_t kCaptureRouteProtocol = 76;

struct PolicyRoutes {
  bool route_v4 = false, rule_v4 = false;
  bool route_v6 = false, rule_v6 = false;
  bool has_v6 = true;  // false: the namespace has no IPv6, and needs none of it
  bool any() const { return route_v4 || rule_v4 || route_v6 || rule_v6; }
  bool complete() const { return route_v4 && rule_v4 && (!has_v6 || (route_v6 && rule_v6)); }
};

absl::StatusOr<PolicyRoutes> FindPolicyRoutes();
// Adds what is missing. On error, what this call added is gone again.
absl::Status AddPolicyRoutes();
// OK where there are none.
absl::Status RemovePolicyRoutes();

}  // namespace lanyard
