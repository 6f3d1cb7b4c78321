#include "identity/base/cgroup_quota.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

std::optional<double> Quotient(absl::string_view quota_text, absl::string_view period_text) {
  double quota, period;
  if (!absl::SimpleAtod(quota_text, &quota) || !absl::SimpleAtod(period_text, &period)) return std::nullopt;
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// cpu.max: "200000 100000" or "max 100000".
std::optional<double> QuotaV2(const std::string& folder) {
  const auto text = ReadFile(folder + "/cpu.max", 4096);
  if (!text.ok()) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return parts.size() == 2 ? Quotient(parts[0], parts[1]) : std::nullopt;
}

std::optional<double> QuotaV1(const std::string& folder) {
  const auto quota = ReadFile(folder + "/cpu.cfs_quota_us", 4096);
  const auto period = ReadFile(folder + "/cpu.cfs_period_us", 4096);
  return quota.ok() && period.ok() ? Quotient(*quota, *period) : std::nullopt;
}

// A limit anywhere between the cgroup and the mount holds for the process. In a container the
// path may name folders outside what is mounted; those are simply not found.
template <typename ReadQuota>
std::optional<double> SmallestUpwards(const std::string& mount, std::string path, ReadQuota read) {
  std::optional<double> smallest;
  while (true) {
    const std::optional<double> here = read(mount + path);
    if (here && (!smallest || *here < *smallest)) smallest = here;
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return smallest;
    path.resize(slash);
  }
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& root) {
  const auto cgroups = ReadFile(root + "/proc/self/cgroup", 1 << 20);
  if (!cgroups.ok()) return std::nullopt;
  std::optional<double> smallest;
  for (absl::string_view line : absl::StrSplit(*cgroups, '\n', absl::SkipEmpty())) {
    // "hierarchy:controllers:path"; the path itself may hold colons.
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::string path = parts[2] == "/" ? "" : std::string(parts[2]);
    std::optional<double> quota;
    if (parts[1].empty()) {
      quota = SmallestUpwards(root + "/sys/fs/cgroup", path, QuotaV2);
    } else if (absl::StrContains(absl::StrCat(",", parts[1], ","), ",cpu,")) {
      quota = SmallestUpwards(root + "/sys/fs/cgroup/cpu", path, QuotaV1);
    }
    if (quota && (!smallest || *quota < *smallest)) smallest = quota;
  }
  return smallest;
}

}  // namespace lanyard
