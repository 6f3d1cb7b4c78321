// What `lanyard capture check` concludes from what it found. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/capture/capture.h"
#include "identity/capture/other_tables.h"
#include "identity/capture/policy_routes.h"
#include "identity/capture/probe.h"
#include "identity/capture/tcp_sockets.h"
#include "identity/cli/findings.h"

namespace lanyard {

// `found`: what FindCapture said; `supported`: whether the kernel would take the rules of each mode, where none are in
// force.
std::vector<Finding> JudgeCaptureRules(const absl::StatusOr<std::optional<CaptureInForce>>& found,
                                       const absl::Status& redirect_supported, const absl::Status& tproxy_supported);

// The rest is asked of rules of this version that are in force.
std::vector<Finding> JudgeCaptureRoutes(const CaptureRules& rules, const absl::StatusOr<PolicyRoutes>& routes);
std::vector<Finding> JudgeOtherTables(const CaptureRules& rules, const std::vector<OtherTable>& tables);
// Is the proxy where connections are sent, in both families, and is it exempt?
std::vector<Finding> JudgeCaptureListeners(const CaptureRules& rules, const std::vector<TcpSocket>& sockets,
                                           bool has_v6);
// The ports at which others than the proxy listen, and whose callers come to the proxy only because nothing was said of
// inbound ports; rising.
std::vector<uint16_t> ServersBehind(const CaptureRules& rules, const std::vector<TcpSocket>& sockets);
// "" where there are none.
std::string WarningOfServers(const std::vector<uint16_t>& ports);
// Does anybody listen where captured outbound, or inbound, connections of this family arrive?
bool ProxyListens(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool v6);
bool ProxyListensInbound(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool v6);
// `family`: "IPv4".
Finding JudgeProbe(const CaptureRules& rules, bool proxy_listens, const std::string& family,
                   const absl::StatusOr<ProbeResult>& result);
// Of the one that came in from outside.
Finding JudgeInboundProbe(const CaptureRules& rules, bool proxy_listens, const std::string& family,
                          const absl::StatusOr<ProbeResult>& result);

}  // namespace lanyard
