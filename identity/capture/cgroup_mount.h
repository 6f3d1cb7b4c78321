// Where the unified hierarchy of cgroups is mounted.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace lanyard {

// `mountinfo`: the text of /proc/self/mountinfo (proc(5)). "/sys/fs/cgroup" where it names none. Pure.
std::string CgroupMountOf(absl::string_view mountinfo);
// Of this process.
std::string FindCgroupMount();

}  // namespace lanyard
