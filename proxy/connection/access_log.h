// The one line that each connection leaves.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/base/line_writer.h"
#include "identity/base/logging.h"
#include "proxy/connection/close_reason.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// access_log of proxy.yaml.
struct AccessLogSettings {
  bool apart = false;       // from the process's log: in a file, or in a format of its own
  std::string path;         // with `apart`; empty: standard error
  bool json = false;        // with `apart`
  double sample_ok = 1;     // the share of ordinary closes that have a line; every other close has one
  uint32_t max_ordinary_per_second = 10'000;  // of them, a worker
  friend bool operator==(const AccessLogSettings&, const AccessLogSettings&) = default;
};

// Thread-safe. "connection closed" with direction, listener, source, destination, both IDs and serials, bytes each way,
// duration_ms, close_reason, rule, tls, resumed and, where there is one, detail. At level info in the process's log; a
// log apart has every line whatever the level. Nobody waits for a reader that is slow (line_writer.h): such lines fail.
class AccessLog {
 public:
  // The process's own log.
  AccessLog() : AccessLog({}, -1) {}
  // An error where the file cannot be opened: it is appended to, and made with mode 0640.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(AccessLogSettings settings);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;

  // False: a line would not be written.
  bool enabled() const { return settings_.apart || LogEnabled(LogLevel::kInfo); }
  void Write(const ConnectionRecord& record, CloseReason reason, bool resumed, absl::string_view detail,
             absl::Time now);
  // The file may have been renamed: opens its path anew. On an error the old file stays in use.
  absl::Status Reopen();

  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }  // a full disk, or a slow reader

 private:
  AccessLog(AccessLogSettings settings, int fd);

  const AccessLogSettings settings_;
  const int fd_;  // -1: the process's log. Reopen puts another file behind the same number
  LineWriter lines_;
  std::atomic<uint64_t> written_ = 0;
  std::atomic<uint64_t> failed_ = 0;
};

}  // namespace lanyard
