// The one line that each connection leaves.
#pragma once

#include "absl/strings/string_view.h"
#include "proxy/connection/close_reason.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// At level info: "connection closed" with direction, listener, source, destination, both IDs and serials, bytes
// each way, duration_ms, close_reason, rule, tls, resumed and, where there is one, detail.
void LogConnection(const ConnectionRecord& record, CloseReason reason, bool resumed, absl::string_view detail);

}  // namespace lanyard
