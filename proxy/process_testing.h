// A real lanyard-proxy process for tests: started from a configuration, watched through its log.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "proxy/io/address.h"

namespace lanyard {

// How long anything may take before the test fails.
inline constexpr absl::Duration kTestPatience = absl::Seconds(30);

// Killed, if it still runs, by the destructor. For one thread.
class ProxyProcess {
 public:
  // lanyard-proxy with these arguments.
  explicit ProxyProcess(const std::vector<std::string>& arguments);
  ~ProxyProcess();

  // Waits for a log line (JSON) that contains every one of `parts`, and takes it out with all before it; "" when
  // none comes.
  std::string AwaitLine(const std::vector<std::string>& parts);
  // Waits for "serving" and returns the bound address of a listener ("admin" is one too).
  std::optional<SocketAddress> AwaitAddress(const std::string& listener);

  void Signal(int signal_number);
  // The exit code (128 + n when killed by signal n) once the process has ended; -1 when it does not.
  int AwaitExit();
  // Everything the process wrote to standard output and standard error until now.
  std::string Output();

 private:
  void ReadOutput(int fd);

  pid_t pid_ = -1;
  std::optional<int> exit_code_;
  std::string serving_;
  std::thread reader_;
  absl::Mutex mutex_;
  std::string output_ ABSL_GUARDED_BY(mutex_);
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace lanyard
