// The CPU quota of this process's control group, read from the kernel's files.
#pragma once

#include <optional>
#include <string>

namespace lanyard {

// Processors' worth of time the cgroup may use (2.5 = two and a half), the smallest over the
// cgroup and its parents; nothing when there is no limit or none can be read. Cgroup v2 and v1.
// `root` stands before /proc and /sys, "" on a real machine.
std::optional<double> CgroupCpuQuota(const std::string& root);

}  // namespace lanyard
