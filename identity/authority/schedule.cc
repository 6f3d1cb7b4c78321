#include "identity/authority/schedule.h"

#include <algorithm>
#include <utility>

#include "identity/base/logging.h"

namespace lanyard {

Schedule::Schedule(Work work, absl::Time first, const Clock& clock, Random& random)
    : work_(std::move(work)),
      clock_(clock),
      backoff_({.initial = absl::Milliseconds(200), .max = kMaxWait}, random),
      thread_([this, first] { Run(first); }) {}

void Schedule::RunBy(absl::Time time) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (time >= run_by_) return;
  run_by_ = time;
  changed_.notify_all();
}

void Schedule::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Schedule::Run(absl::Time next) {
  while (!WaitUntil(next)) {
    const absl::StatusOr<absl::Time> result = work_();
    if (result.ok()) {
      backoff_.Reset();
      next = *result;
      continue;
    }
    const absl::Duration wait = backoff_.Next();
    Log(LogLevel::kError, "renewal failed; what is in force stays in force",
        {{"reason", result.status()}, {"retry_in_ms", absl::ToInt64Milliseconds(wait)}});
    next = clock_.Now() + wait;
  }
}

bool Schedule::WaitUntil(absl::Time time) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    const absl::Time now = clock_.Now();
    const bool set_back = now < std::exchange(last_seen_, now);
    const absl::Duration left = std::min(std::min(time, run_by_) - now, kMaxWait);
    if (set_back || left <= absl::ZeroDuration()) {
      run_by_ = absl::InfiniteFuture();  // whoever calls RunBy from now on is heard after this run
      return false;
    }
    // A little later rather than a little earlier, which would mean waking twice.
    changed_.wait_for(lock, absl::ToChronoMicroseconds(left) + std::chrono::microseconds(1));
  }
  return true;
}

}  // namespace lanyard
