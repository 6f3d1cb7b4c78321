// A process as a test describes it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "identity/agent/process_info.h"

namespace lanyard {

// Thread-compatible: set the fields before use.
class FakeProcessInfo : public ProcessInfo {
 public:
  absl::StatusOr<std::vector<gid_t>> SupplementaryGids(pid_t) override {
    on_read();
    return groups;
  }
  absl::StatusOr<std::string> ExecutablePath(pid_t) override { return path_now ? path_now() : path; }
  absl::StatusOr<std::string> ExecutableSha256(pid_t pid) override {
    on_hash(pid);
    ++hashed;
    return sha256;
  }
  absl::StatusOr<std::string> UserName(uid_t uid) override { return Name(users, uid); }
  absl::StatusOr<std::string> GroupName(gid_t gid) override { return Name(group_names, gid); }

  std::function<void()> on_read = [] {};
  std::function<void(pid_t)> on_hash = [](pid_t) {};
  absl::StatusOr<std::vector<gid_t>> groups = std::vector<gid_t>{};
  absl::StatusOr<std::string> path = std::string("/usr/bin/app");
  std::function<absl::StatusOr<std::string>()> path_now = nullptr;  // instead of `path`, where it changes
  absl::StatusOr<std::string> sha256 = std::string("abcd");
  std::map<uid_t, std::string> users;
  std::map<gid_t, std::string> group_names;
  std::atomic<int> hashed = 0;

 private:
  static absl::StatusOr<std::string> Name(const std::map<uint32_t, std::string>& names, uint32_t id) {
    const auto found = names.find(id);
    if (found == names.end()) return absl::NotFoundError("no name");
    return found->second;
  }
};

}  // namespace lanyard
