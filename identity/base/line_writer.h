// Lines to a descriptor whose reader may be slow or stand still: who writes them is not to stand still with it.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lanyard {

// Thread-safe. A line of at most PIPE_BUF bytes leaves whole or not at all.
class LineWriter {
 public:
  // What all threads together wait for the reader in a second, so that a burst gets through where somebody reads.
  static constexpr absl::Duration kMostWaited = absl::Milliseconds(50);

  // Borrowed. What stands behind the number may be replaced by dup2(2).
  explicit LineWriter(int fd) : fd_(fd) {}

  // `line` without its end. False: it was not taken whole, because a reader was too slow or a disk is full.
  bool Write(absl::string_view line);

 private:
  bool IsFile() const;
  // Whether PIPE_BUF bytes can be written without waiting, now or after what may be waited.
  bool TakesMore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int fd_;
  absl::Mutex mutex_;
  bool torn_ ABSL_GUARDED_BY(mutex_) = false;  // the last line that was begun has no end
  absl::Duration second_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // when the present one began
  absl::Duration waited_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();       // in it
};

}  // namespace lanyard
