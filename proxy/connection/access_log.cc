#include "proxy/connection/access_log.h"

#include <vector>

#include "identity/base/logging.h"

namespace lanyard {

void LogConnection(const ConnectionRecord& record, CloseReason reason, bool resumed, absl::string_view detail) {
  std::vector<LogField> fields = {
      {"direction", record.direction},
      {"listener", record.listener},
      {"source", record.source},
      {"destination", record.destination},
      {"local_id", record.local_id},
      {"local_serial", record.local_serial},
      {"peer_id", record.peer_id},
      {"peer_serial", record.peer_serial},
      {"bytes_sent", record.bytes_sent},
      {"bytes_received", record.bytes_received},
      {"duration_ms", absl::ToInt64Milliseconds(record.age)},
      {"close_reason", CloseReasonName(reason)},
      {"rule", record.rule},
      {"tls", record.tls},
      {"resumed", resumed},
  };
  if (!record.protocol.empty()) fields.emplace_back("protocol", record.protocol);
  if (!record.application_target.empty()) {
    fields.emplace_back("application_source", record.application_source);
    fields.emplace_back("application_target", record.application_target);
  }
  if (!detail.empty()) fields.emplace_back("detail", detail);
  Log(LogLevel::kInfo, "connection closed", fields);
}

}  // namespace lanyard
