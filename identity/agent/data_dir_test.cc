#include "identity/agent/data_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "identity/agent/fake_authority.h"
#include "identity/base/atomic_file.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

class DataDirTest : public testing::Test {
 protected:
  DataDirTest() {
    std::string parent = testing::TempDir() + "/dataXXXXXX";
    EXPECT_NE(mkdtemp(parent.data()), nullptr);
    path_ = parent + "/lanyard/agent";
  }
  NodeIdentity Node() {
    return {authority_.Mint("spiffe://example.org/lanyard/agent/n1", absl::Hours(1)), authority_.bundles(),
            clock_.Now()};
  }
  absl::StatusOr<std::unique_ptr<DataDir>> Open() { return DataDir::Open(path_, random_); }

  std::string path_;
  FakeClock clock_;
  FakeRandom random_;
  FakeAuthority authority_{clock_};
};

TEST_F(DataDirTest, AnEmptyFolderIsMadePrivateAndHoldsNothing) {
  const auto dir = Open();
  ASSERT_TRUE(dir.ok()) << dir.status();
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_FALSE((*dir)->LoadNode()->has_value());
  EXPECT_FALSE((*dir)->LoadWorkloads()->has_value());
}

TEST_F(DataDirTest, WhatWasSavedIsThereForTheNextProcess) {
  const NodeIdentity node = Node();
  {
    const auto dir = Open();
    ASSERT_TRUE((*dir)->SaveNode(node).ok());
    ASSERT_TRUE((*dir)->SaveWorkloads({{3, {}, authority_.bundles()}, {}}).ok());
  }
  const auto dir = Open();
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_EQ((**(*dir)->LoadNode()).svid.chain(), node.svid.chain());
  EXPECT_EQ((**(*dir)->LoadWorkloads()).state.revision, 3u);
  for (const char* file : {"/node.sealed", "/workloads.sealed", "/sealing.key", "/lock"}) {
    struct stat info;
    ASSERT_EQ(stat((path_ + file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 07777, 0600u) << file;
  }
}

TEST_F(DataDirTest, ASecondAgentIsTurnedAwayUntilTheFirstIsGone) {
  auto first = Open();
  ASSERT_TRUE(first.ok());
  const auto second = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_TRUE(absl::StrContains(second.status().message(), "another lanyard-agent"));
  first->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(DataDirTest, AFolderThatOthersCanEnterIsRefusedWithTheRemedy) {
  ASSERT_TRUE(std::filesystem::create_directories(path_));
  ASSERT_EQ(chmod(path_.c_str(), 0755), 0);
  const auto dir = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(dir.status()));
  EXPECT_TRUE(absl::StrContains(dir.status().message(), "chmod 0700"));
}

TEST_F(DataDirTest, AFileInItsPlaceIsRefused) {
  ASSERT_TRUE(std::filesystem::create_directories(std::filesystem::path(path_).parent_path()));
  ASSERT_TRUE(WriteFileAtomically(path_, "x", 0600).ok());
  EXPECT_FALSE(Open().ok());
}

TEST_F(DataDirTest, ADamagedNodeIsDataLossThatNamesTheFile) {
  const auto dir = Open();
  ASSERT_TRUE((*dir)->SaveNode(Node()).ok());
  ASSERT_TRUE(WriteFileAtomically(path_ + "/node.sealed", "damaged", 0600).ok());
  const auto node = (*dir)->LoadNode();
  EXPECT_TRUE(absl::IsDataLoss(node.status()));
  EXPECT_TRUE(absl::StrContains(node.status().message(), path_ + "/node.sealed"));
}

}  // namespace
}  // namespace lanyard
