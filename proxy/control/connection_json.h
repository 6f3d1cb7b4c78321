// Connections, and what was observed of them, as the admin address shows them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "proxy/mesh/connection_tap.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// "2026-01-31T12:00:00Z".
std::string UtcText(absl::Time time);
nlohmann::ordered_json ConnectionJson(const ConnectionRecord& connection);
nlohmann::ordered_json ObservedJson(const ObservedCall& call);
// One line of /tap with its line break: time, event, the connection, and, closed, close_reason and detail.
std::string EventLine(const ConnectionEvent& event);
// Foreign bytes (a name in a certificate) must not make an answer unreadable.
std::string JsonText(const nlohmann::ordered_json& json, int indent);

}  // namespace lanyard
