// Tells when any of a group of files has changed, and has stood still since.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lanyard {

// Polled, because polling sees what inotify does not: a swapped symlink (Kubernetes' ..data), a bind mount,
// a network file system, a folder that appears later. A poll costs one stat(2) a file. Not thread-safe.
class FileWatch {
 public:
  explicit FileWatch(std::vector<std::string> paths);

  // True when the files should be read (again): on the first call; on the second, as a write within
  // the first one's clock tick would not show; and then once for every change, on the first call that
  // finds the files as the call before did, so that a set that is still being written is left alone. A file that is
  // missing counts as a state like any other.
  bool Poll();

 private:
  // What stat(2) says of the file a path leads to; a replaced or rewritten file differs in one of these.
  struct Stamp {
    bool exists = false;
    uint64_t device = 0, inode = 0;
    int64_t size_bytes = 0, modified_ns = 0, changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  static Stamp StampOf(const std::string& path);

  const std::vector<std::string> paths_;
  std::vector<Stamp> seen_;       // at the last poll; empty before the first
  std::vector<Stamp> delivered_;  // when the answer was last true, settled
};

}  // namespace lanyard
