// Exponential backoff with full jitter, as a pure value: it says how long to wait, it
// does not wait.
#pragma once

#include "absl/time/time.h"
#include "identity/base/random.h"

namespace lanyard {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(100);
  absl::Duration max = absl::Seconds(30);
  double factor = 2.0;
};

// Not thread-safe; one owner. Borrows `random`, which must outlive it.
class Backoff {
 public:
  Backoff(BackoffOptions options, Random& random) : options_(options), random_(random) {}

  // The wait before the next try: uniform in [ceiling/2, ceiling], where the ceiling
  // starts at `initial`, grows by `factor` a call and stops at `max`.
  absl::Duration Next();

  // After a success: the next wait starts at `initial` again.
  void Reset() { ceiling_ = absl::ZeroDuration(); }

 private:
  BackoffOptions options_;
  Random& random_;
  absl::Duration ceiling_ = absl::ZeroDuration();
};

}  // namespace lanyard
