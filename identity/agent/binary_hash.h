// SHA-256 of binaries, remembered for as long as a file is unchanged.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <list>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace lanyard {

// Thread-safe.
class BinaryHash {
 public:
  static constexpr int64_t kSizeLimitBytes = int64_t{1} << 30;
  static constexpr size_t kMaxEntries = 256;

  explicit BinaryHash(int64_t size_limit_bytes = kSizeLimitBytes, size_t max_entries = kMaxEntries)
      : size_limit_bytes_(size_limit_bytes), max_entries_(max_entries) {}

  // Lower-case hex of the regular file open at `fd`. InvalidArgument: not a regular file; OutOfRange: larger than the
  // limit; Aborted: it changed while it was read.
  absl::StatusOr<std::string> Sha256Of(int fd);

  size_t entries() const;
  uint64_t files_read() const;

 private:
  // Device, inode, size, and both times that change with the content, in nanoseconds.
  using Key = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;
  struct Entry {
    Key key;
    std::string sha256;
  };
  static Key KeyOf(const struct stat& info);

  const int64_t size_limit_bytes_;
  const size_t max_entries_;
  mutable absl::Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // latest used first
  uint64_t files_read_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace lanyard
