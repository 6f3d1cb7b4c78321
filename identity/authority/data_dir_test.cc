#include "identity/authority/data_dir.h"

#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(DataDirTest, IsMadePrivate) {
  const std::string path = NewTestFolder() + "/data";
  const auto locked = DataDir::Lock(path);
  ASSERT_TRUE(locked.ok()) << locked.status();
  struct stat facts;
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700u);
}

TEST(DataDirTest, IsMadeWithTheFoldersAboveIt) {
  const std::string path = NewTestFolder() + "/above/and/below";
  EXPECT_TRUE(DataDir::Lock(path).ok());
  struct stat facts;
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
}

TEST(DataDirTest, HoldsOneAuthorityAtATime) {
  const std::string path = NewTestFolder();
  {
    const auto first = DataDir::Lock(path);
    ASSERT_TRUE(first.ok());
    const absl::Status second = DataDir::Lock(path).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(second));
    EXPECT_NE(second.message().find("in use by another lanyard-authority"), absl::string_view::npos) << second;
  }
  EXPECT_TRUE(DataDir::Lock(path).ok());
}

TEST(DataDirTest, RefusesAFolderOthersMayWriteTo) {
  const std::string path = NewTestFolder();
  for (mode_t mode : {0770, 0702}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    EXPECT_TRUE(absl::IsFailedPrecondition(DataDir::Lock(path).status()));
  }
}

TEST(DataDirTest, RefusesWhatIsNoFolder) {
  const std::string path = NewTestFolder() + "/file";
  std::ofstream(path) << "x";
  EXPECT_TRUE(absl::IsFailedPrecondition(DataDir::Lock(path).status()));
}

}  // namespace
}  // namespace lanyard
