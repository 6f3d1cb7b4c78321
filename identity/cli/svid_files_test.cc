#include "identity/cli/svid_files.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat facts;
  return stat(path.c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
}

class SvidFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/svid_files.XXXXXX";
    directory_ = std::string(mkdtemp(pattern.data())) + "/svid";
  }
  FakeCa root_ = FakeCa::Root("example.org");
  std::string directory_;
};

TEST_F(SvidFilesTest, WhatIsWrittenReadsBackAsTheSameSvid) {
  const X509Svid svid = root_.Intermediate().Leaf("spiffe://example.org/web").Svid();
  ASSERT_TRUE(WriteSvidFiles(directory_, svid, root_.Bundle()).ok());
  const auto read =
      X509Svid::ParsePem(ReadFile(directory_ + "/svid.pem").value(), ReadFile(directory_ + "/key.pem").value());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->chain(), svid.chain());
  EXPECT_EQ(ReadFile(directory_ + "/bundle.pem").value(), root_.Bundle().ToPem());
}

TEST_F(SvidFilesTest, OnlyTheOwnerReadsTheKey) {
  umask(0);
  ASSERT_TRUE(WriteSvidFiles(directory_, root_.Leaf("spiffe://example.org/web").Svid(), root_.Bundle()).ok());
  EXPECT_EQ(ModeOf(directory_), 0700u);
  EXPECT_EQ(ModeOf(directory_ + "/key.pem"), 0600u);
  EXPECT_EQ(ModeOf(directory_ + "/svid.pem"), 0644u);
}

TEST_F(SvidFilesTest, ASecondSvidReplacesTheFirst) {
  ASSERT_TRUE(WriteSvidFiles(directory_, root_.Leaf("spiffe://example.org/a").Svid(), root_.Bundle()).ok());
  const X509Svid second = root_.Leaf("spiffe://example.org/b").Svid();
  ASSERT_TRUE(WriteSvidFiles(directory_, second, root_.Bundle()).ok());
  EXPECT_EQ(ReadFile(directory_ + "/svid.pem").value(), second.ChainPem());
}

TEST_F(SvidFilesTest, AFolderThatCannotBeMadeIsNamed) {
  const absl::Status status =
      WriteSvidFiles("/proc/lanyard", root_.Leaf("spiffe://example.org/a").Svid(), root_.Bundle());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("/proc/lanyard"));
}

}  // namespace
}  // namespace lanyard
