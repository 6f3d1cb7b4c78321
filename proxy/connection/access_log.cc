#include "proxy/connection/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "identity/base/log_line.h"

namespace lanyard {
namespace {

constexpr char kMessage[] = "connection closed";

std::vector<LogField> FieldsOf(const ConnectionRecord& record, CloseReason reason, bool resumed,
                               absl::string_view detail) {
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
  return fields;
}

absl::StatusOr<int> OpenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd >= 0) return fd;
  return absl::UnavailableError(absl::StrCat("access_log.path ", path, " cannot be opened: ", strerror(errno),
                                             "; make its folder, and let the proxy's user write there"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(AccessLogSettings settings) {
  int fd = -1;
  if (settings.apart && settings.path.empty()) fd = STDERR_FILENO;
  if (settings.apart && !settings.path.empty()) {
    const absl::StatusOr<int> opened = OpenFile(settings.path);
    if (!opened.ok()) return opened.status();
    fd = *opened;
  }
  return std::unique_ptr<AccessLog>(new AccessLog(std::move(settings), fd));
}

AccessLog::AccessLog(AccessLogSettings settings, int fd) : settings_(std::move(settings)), fd_(fd), lines_(fd) {}

AccessLog::~AccessLog() {
  if (fd_ > STDERR_FILENO) close(fd_);
}

absl::Status AccessLog::Reopen() {
  if (settings_.path.empty()) return absl::OkStatus();
  const absl::StatusOr<int> opened = OpenFile(settings_.path);
  if (!opened.ok()) return opened.status();
  // One step for the kernel: a line that is being written goes to the one file or to the other.
  const bool done = dup3(*opened, fd_, O_CLOEXEC) >= 0;
  const int error = errno;
  close(*opened);
  if (done) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("access_log.path cannot be reopened: ", strerror(error)));
}

void AccessLog::Write(const ConnectionRecord& record, CloseReason reason, bool resumed, absl::string_view detail,
                      absl::Time now) {
  const std::vector<LogField> fields = FieldsOf(record, reason, resumed, detail);
  const LogHead head = {now, LogLevel::kInfo, "proxy", kMessage};
  const bool written = settings_.apart
                           ? lines_.Write(settings_.json ? JsonLogLine(head, fields) : TextLogLine(head, fields))
                           : TryLog(LogLevel::kInfo, kMessage, fields);
  (written ? written_ : failed_).fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lanyard
