#include <fcntl.h>
#include <gtest/gtest.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/agent/process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

class ProcProcessInfoTest : public testing::Test {
 protected:
  // A folder that stands for /proc, with one process of pid 7.
  std::string FakeProc(const std::string& status, const std::string& exe) {
    std::string proc = testing::TempDir() + "/procXXXXXX";
    EXPECT_NE(mkdtemp(proc.data()), nullptr);
    EXPECT_EQ(mkdir((proc + "/7").c_str(), 0700), 0);
    std::ofstream(proc + "/7/status") << status;
    EXPECT_EQ(symlink(exe.c_str(), (proc + "/7/exe").c_str()), 0);
    return proc;
  }
  std::unique_ptr<ProcessInfo> real_ = NewProcProcessInfo();
};

TEST_F(ProcProcessInfoTest, ReadsThisProcess) {
  std::string self(4096, '\0');
  self.resize(static_cast<size_t>(readlink("/proc/self/exe", self.data(), self.size())));
  const auto path = real_->ExecutablePath(getpid());
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, self);
  const auto sha256 = real_->ExecutableSha256(getpid());
  ASSERT_TRUE(sha256.ok()) << sha256.status();
  EXPECT_EQ(sha256->size(), 64u);
}

TEST_F(ProcProcessInfoTest, ReadsSupplementaryGroups) {
  const std::string proc = FakeProc("Name:\tx\nUid:\t1\t1\t1\t1\nGroups:\t4 24 1000 \nVmPeak:\t1 kB\n", "/bin/sh");
  EXPECT_EQ(*NewProcProcessInfo(proc)->SupplementaryGids(7), (std::vector<gid_t>{4, 24, 1000}));
  EXPECT_EQ(*NewProcProcessInfo(FakeProc("Groups:\t \n", "/bin/sh"))->SupplementaryGids(7), std::vector<gid_t>{});
}

TEST_F(ProcProcessInfoTest, AStatusThatCannotBeReadIsAnError) {
  EXPECT_FALSE(NewProcProcessInfo(FakeProc("Name:\tx\n", "/bin/sh"))->SupplementaryGids(7).ok());
  EXPECT_FALSE(NewProcProcessInfo(FakeProc("Groups:\t4 x\n", "/bin/sh"))->SupplementaryGids(7).ok());
  EXPECT_FALSE(NewProcProcessInfo(FakeProc("Groups:\t\n", "/bin/sh"))->SupplementaryGids(8).ok());
}

TEST_F(ProcProcessInfoTest, ADeletedBinaryHasNeitherPathNorHash) {
  const std::string binary = testing::TempDir() + "/short_lived";
  {
    std::ifstream from("/bin/sleep", std::ios::binary);
    std::ofstream(binary, std::ios::binary) << from.rdbuf();
  }
  ASSERT_EQ(chmod(binary.c_str(), 0755), 0);
  const IdleChild child(binary, "600");
  ASSERT_TRUE(absl::EndsWith(*real_->ExecutablePath(child.pid()), "/short_lived"));
  ASSERT_TRUE(real_->ExecutableSha256(child.pid()).ok());
  ASSERT_EQ(unlink(binary.c_str()), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(real_->ExecutablePath(child.pid()).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(real_->ExecutableSha256(child.pid()).status()));
  // Another file at the same path is not what runs, and a path named as the kernel names it is none.
  std::ofstream(binary) << "another";
  std::ofstream(binary + " (deleted)") << "another";
  EXPECT_TRUE(absl::IsFailedPrecondition(real_->ExecutablePath(child.pid()).status()));
}

TEST_F(ProcProcessInfoTest, APathThatNamesNothingHereIsRefused) {
  const std::string proc = FakeProc("Groups:\t\n", "/no/such/binary");
  EXPECT_FALSE(NewProcProcessInfo(proc)->ExecutablePath(7).ok());
}

TEST_F(ProcProcessInfoTest, NamesUsersAndGroups) {
  EXPECT_EQ(*real_->UserName(0), "root");
  EXPECT_EQ(*real_->GroupName(0), "root");
  EXPECT_TRUE(absl::IsNotFound(real_->UserName(4000000000u).status()));
  EXPECT_TRUE(absl::IsNotFound(real_->GroupName(4000000000u).status()));
}

}  // namespace
}  // namespace lanyard
