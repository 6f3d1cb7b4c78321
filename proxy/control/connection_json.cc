#include "proxy/control/connection_json.h"

namespace lanyard {

using Json = nlohmann::ordered_json;

std::string UtcText(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

std::string JsonText(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ConnectionJson(const ConnectionRecord& connection) {
  Json json = {{"id", connection.id},
               {"worker", connection.worker},
               {"direction", connection.direction},
               {"listener", connection.listener},
               {"state", connection.state},
               {"source", connection.source},
               {"destination", connection.destination},
               {"local_id", connection.local_id},
               {"local_serial", connection.local_serial},
               {"peer_id", connection.peer_id},
               {"peer_serial", connection.peer_serial}};
  json["peer_not_after"] =
      connection.peer_not_after == absl::InfiniteFuture() ? Json(nullptr) : Json(UtcText(connection.peer_not_after));
  json["tls"] = connection.tls;
  json["protocol"] = connection.protocol;
  json["application_source"] = connection.application_source;
  json["application_target"] = connection.application_target;
  json["rule"] = connection.rule;
  json["bytes_sent"] = connection.bytes_sent;
  json["bytes_received"] = connection.bytes_received;
  json["age_ms"] = absl::ToInt64Milliseconds(connection.age);
  json["idle_ms"] = absl::ToInt64Milliseconds(connection.idle);
  return json;
}

Json ObservedJson(const ObservedCall& call) {
  return {{"direction", call.direction},
          {"local_id", call.local_id},
          {"peer_id", call.peer_id},
          {"destination", call.destination},
          {"port", call.port},
          {"captured", call.captured},
          {"allowed", call.allowed},
          {"rule", call.rule},
          {"close_reason", call.close_reason},
          {"count", call.count},
          {"last_seen", UtcText(call.last_seen)}};
}

std::string EventLine(const ConnectionEvent& event) {
  const bool closed = event.kind == ConnectionEvent::Kind::kClosed;
  Json json = {{"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", event.time, absl::UTCTimeZone())},
               {"event", closed ? "closed" : "opened"}};
  json.update(ConnectionJson(event.record));
  if (closed) {
    json["close_reason"] = event.close_reason;
    json["detail"] = event.detail;
  }
  return JsonText(json, -1);
}

}  // namespace lanyard
