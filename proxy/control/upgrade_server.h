// Takes the order to upgrade this proxy, from its own user or root on this machine, at a Unix socket.
// One line of JSON each way: {"binary": "", "config": "", "timeout_ms": 60000} is answered by {"pid": 7} or
// {"error": "why not"}; what is empty stays as it is. Another binary or configuration is root's to name: a proxy may
// have capabilities that its user lacks.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

struct UpgradeRequest {
  std::string binary;  // empty: the path that this process was started from
  std::string config;  // empty: the present one
  absl::Duration timeout;
};

// InvalidArgument says what is wrong with the line.
absl::StatusOr<UpgradeRequest> ParseUpgradeRequest(absl::string_view line);

// Has a thread of its own, on which one order is carried out after the other. All calls are thread-safe.
class UpgradeServer {
 public:
  static constexpr size_t kMaxRequestBytes = 16 << 10;
  static constexpr absl::Duration kRequestTimeout = absl::Seconds(5);
  static constexpr absl::Duration kMaxTimeout = absl::Hours(1);

  struct Options {
    std::string path;
    UniqueFd listener;  // as OpenLocalListener made it, perhaps in an earlier process
    // On the thread, for as long as it takes; the pid of the process that serves now.
    std::function<absl::StatusOr<pid_t>(const UpgradeRequest&)> upgrade;
    std::function<void()> on_upgraded;  // then, once the caller was answered; nothing more is taken
  };
  explicit UpgradeServer(Options options);
  ~UpgradeServer();  // Stop()

  void Start();
  // Ends the thread, and removes the path if this one served there and no other process does now.
  void Stop();
  bool stopping() const { return stopping_; }
  int listener() const { return options_.listener.get(); }
  const std::string& path() const { return options_.path; }

 private:
  void Run();
  void Serve(int caller, uid_t uid);
  absl::StatusOr<pid_t> Answer(int caller, uid_t uid);
  absl::StatusOr<std::string> ReadLine(int caller);

  Options options_;
  UniqueFd wake_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> upgraded_ = false;
  std::mutex mutex_;    // guards the two below
  bool started_ = false;
  std::thread thread_;
};

}  // namespace lanyard
