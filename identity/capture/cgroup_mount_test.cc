#include "identity/capture/cgroup_mount.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(CgroupMountTest, IsWhereTheUnifiedHierarchyIs) {
  EXPECT_EQ(CgroupMountOf("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"), "/sys/fs/cgroup");
}

TEST(CgroupMountTest, OlderHierarchiesBesideItAreNotTakenForIt) {
  EXPECT_EQ(CgroupMountOf("31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
                          "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
                          "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"),
            "/sys/fs/cgroup/unified");
}

TEST(CgroupMountTest, WithoutOneItIsTheUsualPlace) {
  for (const char* text : {"", "\n", "- cgroup2", "1 2 3 - cgroup2 x", "garbage"}) {
    EXPECT_EQ(CgroupMountOf(text), "/sys/fs/cgroup") << text;
  }
}

TEST(CgroupMountTest, ThisMachineHasOne) { EXPECT_EQ(FindCgroupMount().substr(0, 1), "/"); }

}  // namespace
}  // namespace lanyard
