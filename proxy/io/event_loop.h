// One thread's event loop: descriptors, timers, work posted by other threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "proxy/io/poller.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

class EventLoop;

// Calls back once, in a later turn of its loop, unless stopped. Belongs to the loop's thread, and
// to an object that dies before the loop.
class Timer {
 public:
  Timer(EventLoop* loop, std::function<void()> callback) : loop_(loop), callback_(std::move(callback)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Stop(); }

  // Replaces an earlier start. Zero: the next turn, after other descriptors have had theirs.
  void Start(absl::Duration after);
  void Stop();
  bool running() const { return heap_index_ != kIdle; }

 private:
  friend class EventLoop;
  static constexpr size_t kIdle = static_cast<size_t>(-1);
  bool Before(const Timer& other) const {
    return deadline_ != other.deadline_ ? deadline_ < other.deadline_ : sequence_ < other.sequence_;
  }

  EventLoop* loop_;
  std::function<void()> callback_;
  absl::Duration deadline_;
  uint64_t sequence_ = 0;  // of its start, so that timers of one deadline run in order
  size_t heap_index_ = kIdle;
};

// An object that outlives the turn in which it was given up, because callers are still on the stack.
class Disposable {
 public:
  virtual ~Disposable() = default;
};

// Everything but Post and Stop is for the loop's own thread.
class EventLoop {
 public:
  // At most this many events are handled in a turn before timers and posted work have theirs.
  static constexpr size_t kEventsPerTurn = 128;

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create(std::unique_ptr<Poller> poller, const Clock* clock);
  ~EventLoop();

  absl::Status Watch(int fd, uint32_t events, IoHandler* handler) { return poller_->Add(fd, events, handler); }
  // `handler` is told nothing more, not even of this turn. Always before the descriptor is closed: close(2) ends what
  // the poller watches only with the last reference to the socket, and who reads /proc/PID/fd has one for an instant.
  void Unwatch(int fd, IoHandler* handler);

  // Runs `task` on the loop's thread, in the order of posting. Thread-safe; tasks still queued when the
  // loop is destroyed never run.
  void Post(std::function<void()> task);

  // Turns until Stop.
  void Run();
  void Stop() { Post([this] { stopped_ = true; }); }
  // One turn, which waits at most `max_wait` for something to happen.
  void RunOnce(absl::Duration max_wait);

  // Destroyed at the end of this turn.
  void Dispose(std::unique_ptr<Disposable> object) { disposed_.push_back(std::move(object)); }

  // Monotonic time, read once a turn.
  absl::Duration now() const { return now_; }
  const Clock& clock() const { return *clock_; }

 private:
  friend class Timer;
  class Doorbell;

  EventLoop(std::unique_ptr<Poller> poller, const Clock* clock);
  void RunTimers();
  void RunPosted();
  void InsertTimer(Timer* timer);
  void RemoveTimer(Timer* timer);
  void SiftUp(size_t index);
  void SiftDown(size_t index);
  void Place(size_t index, Timer* timer);

  std::unique_ptr<Poller> poller_;
  const Clock* clock_;
  absl::Duration now_;
  std::unique_ptr<Doorbell> doorbell_;
  std::vector<PollEvent> batch_;  // of the turn; a forgotten handler's events are blanked
  size_t batch_size_ = 0;
  std::vector<Timer*> timers_;    // binary heap
  uint64_t next_sequence_ = 0;
  std::vector<std::unique_ptr<Disposable>> disposed_;
  bool stopped_ = false;

  std::atomic<bool> has_posted_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lanyard
