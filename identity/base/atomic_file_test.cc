#include "identity/base/atomic_file.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(getenv("TEST_TMPDIR")) + "/atomic.XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  int FileCount() const {
    DIR* dir = opendir(folder_.c_str());
    int count = -2;  // "." and ".."
    while (readdir(dir) != nullptr) ++count;
    closedir(dir);
    return count;
  }
  std::string folder_;
};

TEST_F(AtomicFileTest, WritesAndReadsBack) {
  const std::string content("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), content, 0600).ok());
  EXPECT_EQ(*ReadFile(Path("f")), content);
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(AtomicFileTest, ReplacesContentAndMode) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old and longer", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "new", 0644).ok());
  EXPECT_EQ(*ReadFile(Path("f")), "new");
  struct stat info;
  ASSERT_EQ(stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(AtomicFileTest, FailureLeavesNothingBehindAndNamesThePath) {
  ASSERT_EQ(mkdir(Path("taken").c_str(), 0700), 0);
  const absl::Status status = WriteFileAtomically(Path("taken"), "x", 0600);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(Path("taken")), absl::string_view::npos) << status;
  EXPECT_EQ(FileCount(), 1);
  EXPECT_TRUE(absl::IsNotFound(WriteFileAtomically(Path("none/f"), "x", 0600)));
}

TEST_F(AtomicFileTest, ReadErrorsHaveTheirKind) {
  EXPECT_TRUE(absl::IsNotFound(ReadFile(Path("none")).status()));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  EXPECT_TRUE(ReadFile(Path("f"), 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(Path("f"), 4).status()));
  EXPECT_FALSE(ReadFile(folder_).ok());
}

TEST_F(AtomicFileTest, ReadingAFifoDoesNotHang) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(*ReadFile(Path("fifo")), "");
}

}  // namespace
}  // namespace lanyard
