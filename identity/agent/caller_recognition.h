// Recognises callers on threads of its own: reading /proc, a user database or a large binary may take long.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "identity/agent/caller.h"

namespace lanyard {

// Thread-safe. Borrows `processes`.
class CallerRecognition {
 public:
  using Done = std::function<void(absl::StatusOr<SelectorSet>)>;

  CallerRecognition(ProcessInfo& processes, int threads, size_t max_waiting);
  ~CallerRecognition();  // finishes what is running, forgets what waits

  // `done` runs on one of the threads. False, and nothing happens, when too many wait.
  bool Submit(std::shared_ptr<const LocalPeer> peer, bool wants_sha256, Done done);

 private:
  struct Job {
    std::shared_ptr<const LocalPeer> peer;
    bool wants_sha256;
    Done done;
  };
  void Run();

  ProcessInfo& processes_;
  const size_t max_waiting_;
  absl::Mutex mutex_;
  std::deque<Job> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace lanyard
