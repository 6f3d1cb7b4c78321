// What the proxies of this node say, gathered and told to the authority: one of these for what they run, another for
// what they observed.
#pragma once

#include <cstddef>
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
#include "identity/base/bell.h"

namespace lanyard {

// Thread-safe. One thread sends, always all of them: soon after a change, several changes at once, and anew over each
// connection. A failure is tried again. Only the newest report of a stream is kept.
class ProxyReports {
 public:
  // More are left out; so many a message may hold.
  static constexpr size_t kMaxReported = 1000;
  struct Options {
    size_t max_bytes = 32 << 20;  // of all together; a report that does not fit is left out until it is told anew
    absl::Duration gather = absl::Milliseconds(50);  // from a change to its report
    absl::Duration retry = absl::Seconds(5);
    // Blocks with a limit of its own. Each is what Set was given. Unimplemented: this authority does not want them,
    // until the next connection.
    std::function<absl::Status(const std::vector<std::string>&)> send;
  };
  explicit ProxyReports(Options options);
  ~ProxyReports();  // ends once `send` returns

  uint64_t NewStream();  // a number never given before
  void Set(uint64_t stream, std::string report);
  void Remove(uint64_t stream);
  void Connected();  // `send` goes to another connection, which knows nothing yet
  uint64_t left_out() const;  // reports, ever, for either limit

 private:
  void Run();
  std::vector<std::string> TakeAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Forget(uint64_t stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveOut(size_t reports) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable absl::Mutex mutex_;
  Bell changed_;
  std::map<uint64_t, std::string> reports_ ABSL_GUARDED_BY(mutex_);
  uint64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t connections_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of reports_
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lanyard
