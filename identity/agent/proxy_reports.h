// What the proxies of this node say they run, gathered and told to the authority.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lanyard {

// Thread-safe. One thread sends, always all of them: soon after a change, several changes at once, and anew over each
// connection. A failure is tried again. Only the newest status of a stream is kept.
class ProxyReports {
 public:
  // More are left out; so many a message may hold.
  static constexpr size_t kMaxReported = 1000;
  struct Options {
    absl::Duration gather = absl::Milliseconds(50);  // from a change to its report
    absl::Duration retry = absl::Seconds(5);
    // Blocks with a limit of its own. Each is a serialized lanyard.mesh.v1.ProxyStatus. Unimplemented: this authority
    // does not want them, until the next connection.
    std::function<absl::Status(const std::vector<std::string>&)> send;
  };
  explicit ProxyReports(Options options);
  ~ProxyReports();  // ends once `send` returns

  uint64_t NewStream();  // a number never given before
  void Set(uint64_t stream, std::string status);
  void Remove(uint64_t stream);
  void Connected();  // `send` goes to another connection, which knows nothing yet

 private:
  void Run();
  std::vector<std::string> All() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable absl::Mutex mutex_;
  std::map<uint64_t, std::string> statuses_ ABSL_GUARDED_BY(mutex_);
  uint64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t connections_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lanyard
