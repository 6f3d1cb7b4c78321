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
// kMaxWait at least, as it may jump), or, after an error, with backoff. An error is logged.
class Schedule {
 public:
  static constexpr absl::Duration kMaxWait = absl::Seconds(10);
  using Work = std::function<absl::StatusOr<absl::Time>()>;

  // Starts the thread; `work` first runs at `first`. Borrows the clock and randomness.
  Schedule(Work work, absl::Time first, const Clock& clock, Random& random);
  // Lets a running `work` end, then joins.
  ~Schedule();
  Schedule(const Schedule&) = delete;

 private:
  void Run(absl::Time next);
  // True when it is time to stop.
  bool WaitUntil(absl::Time time);
  const Work work_;
  const Clock& clock_;
  Backoff backoff_;
  std::mutex mutex_;  // guards stopping_
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lanyard
