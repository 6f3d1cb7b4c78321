// What the kernel tells about a process by its pid. A seam: ProcProcessInfo or FakeProcessInfo.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lanyard {

// A pid names a process only while it lives: facts count only if LocalPeer::Alive() is true after they were read.
// Thread-safe.
class ProcessInfo {
 public:
  virtual ~ProcessInfo() = default;

  // /proc/<pid>/status "Groups:".
  virtual absl::StatusOr<std::vector<gid_t>> SupplementaryGids(pid_t pid) = 0;

  // The binary it runs. FailedPrecondition when that file was deleted or replaced, or when the same path names
  // another file from where the agent stands: a user's own mount namespace can put any file at any path.
  virtual absl::StatusOr<std::string> ExecutablePath(pid_t pid) = 0;

  // Lower-case hex. The same conditions, except that the path does not matter. OutOfRange beyond the limit.
  virtual absl::StatusOr<std::string> ExecutableSha256(pid_t pid) = 0;

  // By the machine's user and group databases. NotFound when there is no such name, OutOfRange when its record
  // is too large. Other errors, here and above, may pass: a lack of descriptors or memory, a binary that just changes.
  virtual absl::StatusOr<std::string> UserName(uid_t uid) = 0;
  virtual absl::StatusOr<std::string> GroupName(gid_t gid) = 0;
};

// `proc` is "/proc" on a real machine.
std::unique_ptr<ProcessInfo> NewProcProcessInfo(const std::string& proc = "/proc");

}  // namespace lanyard
