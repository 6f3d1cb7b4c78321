#include "identity/base/cgroup_quota.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

// A file system root with only the files a test puts there.
class CgroupCpuQuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::string(getenv("TEST_TMPDIR")) + "/root.XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
  }
  void Put(const std::string& path, const std::string& content) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }
  std::string root_;
};

TEST_F(CgroupCpuQuotaTest, NothingReadableIsNoLimit) { EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt); }

TEST_F(CgroupCpuQuotaTest, V2MaxIsNoLimit) {
  Put("/proc/self/cgroup", "0::/a\n");
  Put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt);
}

TEST_F(CgroupCpuQuotaTest, V2TakesTheSmallestOfCgroupAndParents) {
  Put("/proc/self/cgroup", "0::/a/b/c\n");
  Put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
  Put("/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
  Put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), 2.5);
}

TEST_F(CgroupCpuQuotaTest, V2InAContainerReadsTheMountsRoot) {
  Put("/proc/self/cgroup", "0::/\n");
  Put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), 0.5);
}

TEST_F(CgroupCpuQuotaTest, V1ReadsQuotaAndPeriod) {
  Put("/proc/self/cgroup", "5:memory:/m\n3:cpu,cpuacct:/docker/x\n");
  Put("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "150000\n");
  Put("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), 1.5);
}

TEST_F(CgroupCpuQuotaTest, V1MinusOneIsNoLimit) {
  Put("/proc/self/cgroup", "3:cpu,cpuacct:/\n");
  Put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt);
}

TEST_F(CgroupCpuQuotaTest, NonsenseIsNoLimit) {
  Put("/proc/self/cgroup", "garbage\n0::/a\n");
  for (const char* content : {"", "1", "a b", "100000 0", "0 100000", "1 2 3"}) {
    Put("/sys/fs/cgroup/a/cpu.max", content);
    EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt) << content;
  }
}

}  // namespace
}  // namespace lanyard
