// The authority's folder, and the lock that keeps a second authority out of it.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace lanyard {

// Holds the lock until destroyed; the kernel drops it when the process dies.
class DataDir {
 public:
  // Makes `path` (mode 0700, parents must exist) if absent. FailedPrecondition: writable by group or others,
  // somebody else's, or another process holds its lock.
  static absl::StatusOr<DataDir> Lock(const std::string& path);
  DataDir(DataDir&& other) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

 private:
  explicit DataDir(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace lanyard
