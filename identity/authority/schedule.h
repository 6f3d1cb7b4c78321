// The one thread that owns the authority's schedule of renewals.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/backoff.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"

namespace lanyard {

// Calls `work` again and again: when the time it gave has come (the wall clock is looked at every
// kMaxWait at least, as it may jump), when the clock was set back (what was planned or made by the time before may
// be no good now), or, after an error, with backoff. An error is logged.
class Schedule {
 public:
  static constexpr absl::Duration kMaxWait = absl::Seconds(10);
  using Work = std::function<absl::StatusOr<absl::Time>()>;

  // Starts the thread; `work` first runs at `first`. Borrows the clock and randomness.
  Schedule(Work work, absl::Time first, const Clock& clock, Random& random);
  ~Schedule() { Stop(); }
  Schedule(const Schedule&) = delete;

  // Something is due earlier than was known: `work` runs at `time`, unless it runs before. Thread-safe; may be called
  // from `work`.
  void RunBy(absl::Time time);
  // Lets a running `work` end, then joins. From then on nothing runs.
  void Stop();

 private:
  void Run(absl::Time next);
  // Until `time`, or RunBy's, or the clock is set back. True when it is time to stop.
  bool WaitUntil(absl::Time time);
  const Work work_;
  const Clock& clock_;
  Backoff backoff_;
  std::mutex mutex_;  // guards stopping_ and run_by_
  std::condition_variable changed_;
  bool stopping_ = false;
  absl::Time run_by_ = absl::InfiniteFuture();
  absl::Time last_seen_ = absl::InfinitePast();  // by the clock; the thread's own
  std::thread thread_;
};

}  // namespace lanyard
