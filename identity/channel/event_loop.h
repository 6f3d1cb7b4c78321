// One thread that waits for descriptors, timers and posted tasks. Private to identity/channel: the
// proxy has its own, made for another load.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "identity/base/descriptor.h"

namespace lanyard {

// Start, Post, RunAndWait and Stop may be called from any thread but the loop's; everything else on the loop's only.
class EventLoop {
 public:
  class Handler {
   public:
    // `events` as epoll(7) has them. May forget any descriptor and destroy its own handler.
    virtual void OnReady(uint32_t events) = 0;

   protected:
    ~Handler() = default;
  };
  using TimerId = std::pair<absl::Duration, uint64_t>;

  // `thread_name`: at most 15 bytes.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Start(const char* thread_name);
  ~EventLoop();   // Stop()

  // Runs in order; allowed on the loop's thread too. After Stop, tasks are dropped unrun.
  void Post(std::function<void()> task);
  // Runs `task` on the loop's thread and returns when it is done. After Stop: at once, unrun.
  void RunAndWait(std::function<void()> task);
  // Ends the thread after the task it is in. Idempotent.
  void Stop();

  // Level-triggered. The handler is borrowed until Forget. False where the kernel has no room.
  bool Watch(int fd, uint32_t events, Handler* handler);
  void Change(int fd, uint32_t events);
  // Before closing `fd`. Events already seen for it are not delivered any more.
  void Forget(int fd);

  TimerId After(absl::Duration delay, std::function<void()> task);
  // Harmless for a timer that has run.
  void Cancel(TimerId timer);
  static absl::Duration Now();

 private:
  struct Watched {
    uint32_t generation;
    Handler* handler;
  };

  EventLoop(Descriptor epoll, Descriptor wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  void Run();
  int WaitTimeoutMs() const;
  void Dispatch(uint64_t key, uint32_t events);
  bool RunTasks();   // false: stop
  void RunTimers();

  const Descriptor epoll_;
  const Descriptor wake_;
  absl::flat_hash_map<int, Watched> watched_;
  uint32_t next_generation_ = 1;
  std::map<TimerId, std::function<void()>> timers_;
  uint64_t next_timer_ = 1;

  absl::Mutex mutex_;
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lanyard
