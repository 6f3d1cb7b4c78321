#include "identity/capture/cgroup_mount.h"

#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

constexpr char kUsual[] = "/sys/fs/cgroup";
constexpr size_t kMountPointField = 4;  // from 0: id, parent, device, root, mount point, options, then a dash

}  // namespace

std::string CgroupMountOf(absl::string_view mountinfo) {
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> fields = absl::StrSplit(halves.first, ' ');
    const std::vector<absl::string_view> type = absl::StrSplit(halves.second, ' ');
    if (type.empty() || type.front() != "cgroup2" || fields.size() <= kMountPointField) continue;
    return std::string(fields[kMountPointField]);
  }
  return kUsual;
}

std::string FindCgroupMount() {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  return CgroupMountOf(text.str());
}

}  // namespace lanyard
