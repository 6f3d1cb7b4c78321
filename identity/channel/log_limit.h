// Keeps a hostile peer from filling the log.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace lanyard {

// Not thread-safe. Lets one line through in kInterval.
class LogLimit {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  // `now` is monotonic. True: write the line, and say in it that suppressed() went unwritten before it.
  bool Allow(absl::Duration now) {
    if (any_ && now - last_ < kInterval) {
      ++pending_;
      return false;
    }
    any_ = true;
    last_ = now;
    suppressed_ = pending_;
    pending_ = 0;
    return true;
  }
  uint64_t suppressed() const { return suppressed_; }

 private:
  bool any_ = false;
  absl::Duration last_ = absl::ZeroDuration();
  uint64_t pending_ = 0, suppressed_ = 0;
};

}  // namespace lanyard
