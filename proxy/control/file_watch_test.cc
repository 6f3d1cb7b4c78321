#include "proxy/control/file_watch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

class FileWatchTest : public testing::Test {
 protected:
  FileWatchTest() : folder_(testing::TempDir() + "/file_watch_XXXXXX") { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(Path(name), text, 0600).ok());
  }
  void Append(const std::string& name, const std::string& text) {
    FILE* file = fopen(Path(name).c_str(), "a");
    ASSERT_NE(file, nullptr);
    fputs(text.c_str(), file);
    ASSERT_EQ(fclose(file), 0);
  }
  // Past the first two calls, which always ask to read.
  static void Begin(FileWatch& watch) {
    EXPECT_TRUE(watch.Poll());
    EXPECT_TRUE(watch.Poll());
    EXPECT_FALSE(watch.Poll());
  }

  std::string folder_;
};

TEST_F(FileWatchTest, AReplacedFileIsToldOnceItStandsStill) {
  Write("a", "1");
  FileWatch watch({Path("a")});
  Begin(watch);
  Write("a", "2");
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
  EXPECT_FALSE(watch.Poll());
}

TEST_F(FileWatchTest, ASetThatIsStillBeingWrittenIsLeftAlone) {
  Write("cert", "1");
  Write("key", "1");
  FileWatch watch({Path("cert"), Path("key")});
  Begin(watch);
  Write("cert", "2");
  EXPECT_FALSE(watch.Poll());
  Write("key", "2");
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
  EXPECT_FALSE(watch.Poll());
}

TEST_F(FileWatchTest, AFileWrittenInPlaceIsSeen) {
  Write("a", "1");
  FileWatch watch({Path("a")});
  Begin(watch);
  Append("a", "2");
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
}

// How Kubernetes updates a mounted secret: a -> ..data/a, ..data -> a folder that is swapped.
TEST_F(FileWatchTest, ASwappedFolderBehindASymlinkIsSeen) {
  ASSERT_EQ(mkdir(Path("v1").c_str(), 0700), 0);
  ASSERT_EQ(mkdir(Path("v2").c_str(), 0700), 0);
  Write("v1/a", "1");
  Write("v2/a", "1");
  ASSERT_EQ(symlink("v1", Path("..data").c_str()), 0);
  ASSERT_EQ(symlink("..data/a", Path("a").c_str()), 0);
  FileWatch watch({Path("a")});
  Begin(watch);
  ASSERT_EQ(symlink("v2", Path("..tmp").c_str()), 0);
  ASSERT_EQ(rename(Path("..tmp").c_str(), Path("..data").c_str()), 0);
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
}

TEST_F(FileWatchTest, AFileMayComeAndGo) {
  FileWatch watch({Path("later/a")});
  Begin(watch);
  ASSERT_EQ(mkdir(Path("later").c_str(), 0700), 0);
  Write("later/a", "1");
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
  ASSERT_EQ(unlink(Path("later/a").c_str()), 0);
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
}

TEST_F(FileWatchTest, AChangeThatIsTakenBackIsStillTold) {
  Write("a", "1");
  FileWatch watch({Path("a")});
  Begin(watch);
  Write("a", "2");
  EXPECT_FALSE(watch.Poll());
  Write("a", "1");
  EXPECT_FALSE(watch.Poll());
  EXPECT_TRUE(watch.Poll());
}

}  // namespace
}  // namespace lanyard
