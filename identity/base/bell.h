// Waits for a condition, for a time that the wall clock has no part in. (absl::Mutex's own timed waits end at a
// wall-clock time: when the clock is set back by an hour, they last an hour longer.)
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lanyard {

// Thread-safe. Outlives those who wait at it.
class Bell {
 public:
  // Whoever changes what a condition reads says so, having changed it under the waiter's mutex.
  void Ring() { rung_.notify_all(); }

  // Gives `mutex`, which the caller holds, up until `condition` holds or `wait` is over; whether it holds then.
  // `condition` is called with `mutex` held.
  template <typename Condition>
  bool AwaitFor(absl::Mutex& mutex, absl::Duration wait, Condition condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held{mutex};
    const auto most = absl::ToChronoNanoseconds(std::clamp(wait, absl::ZeroDuration(), kLongest));
    return rung_.wait_for(held, most, condition);  // by std::chrono::steady_clock
  }

 private:
  static constexpr absl::Duration kLongest = absl::Hours(24 * 365);
  struct Held {
    absl::Mutex& mutex;
    void lock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex.Lock(); }
    void unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex.Unlock(); }
  };

  std::condition_variable_any rung_;
};

}  // namespace lanyard
