#include "identity/base/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/descriptor.h"

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
  bool Exists(const std::string& name) const {
    struct stat info;
    return lstat(Path(name).c_str(), &info) == 0;
  }
  // As a killed writer leaves it, or somebody else.
  void Leave(const std::string& name) const { std::ofstream(Path(name)) << "a key"; }
  // A process of its own that the kernel kills within write(2), once `limit_bytes` of a file are there.
  static void WriteAndBeKilled(const std::string& path, size_t limit_bytes) {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit no_core = {0, 0}, file_size = {limit_bytes, limit_bytes};
      signal(SIGXFSZ, SIG_DFL);
      setrlimit(RLIMIT_CORE, &no_core);
      setrlimit(RLIMIT_FSIZE, &file_size);
      _exit(WriteFileAtomically(path, std::string(2 * limit_bytes, 'k'), 0600).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    ASSERT_EQ(WTERMSIG(status), SIGXFSZ);
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

TEST_F(AtomicFileTest, WhatAKilledWriterLeftIsGoneAfterTheNextWrite) {
  ASSERT_NO_FATAL_FAILURE(WriteAndBeKilled(Path("sealing.key"), 4096));
  EXPECT_FALSE(Exists("sealing.key"));
  EXPECT_EQ(FileCount(), 1) << "this writer was killed too early or too late to leave anything";
  ASSERT_TRUE(WriteFileAtomically(Path("sealing.key"), "new", 0600).ok());
  EXPECT_EQ(*ReadFile(Path("sealing.key")), "new");
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(AtomicFileTest, OnlyWhatIsCertainlyLeftOverIsRemoved) {
  const std::vector<std::string> kept = {
      "f.backup",         "f.sha256",         "f.lanyard-",        "f.lanyard-abc12",   "f.lanyard-abc1234",
      "f.lanyard-abc1.3", "g.lanyard-abc123", "ff.lanyard-abc123", ".f.lanyard-abc123", "F.lanyard-abc123"};
  for (const std::string& name : kept) Leave(name);
  ASSERT_EQ(mkdir(Path("f.lanyard-folder").c_str(), 0700), 0);
  ASSERT_EQ(mkfifo(Path("f.lanyard-fifo00").c_str(), 0600), 0);
  ASSERT_EQ(symlink("f.backup", Path("f.lanyard-link00").c_str()), 0);
  Leave("f.lanyard-others");
  ASSERT_EQ(chown(Path("f.lanyard-others").c_str(), 65534, 65534), 0);
  Leave("f.lanyard-Left09");
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "x", 0600).ok());
  for (const std::string& name : kept) EXPECT_TRUE(Exists(name)) << name;
  for (const char* name : {"f.lanyard-folder", "f.lanyard-fifo00", "f.lanyard-link00", "f.lanyard-others"}) {
    EXPECT_TRUE(Exists(name)) << name;
  }
  EXPECT_FALSE(Exists("f.lanyard-Left09"));
}

TEST_F(AtomicFileTest, WhatAnotherWriterIsAtIsLeftAlone) {
  Leave("f.lanyard-abc123");
  Descriptor writer(open(Path("f.lanyard-abc123").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(writer.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "x", 0600).ok());
  EXPECT_TRUE(Exists("f.lanyard-abc123"));
  writer.Reset(-1);  // killed
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "x", 0600).ok());
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(AtomicFileTest, WritersOfOneFileDoNotDisturbEachOther) {
  std::vector<std::thread> writers;
  for (const char* content : {"one", "two", "three"}) {
    writers.emplace_back([this, content] {
      for (int i = 0; i < 20; ++i) {
        const absl::Status written = WriteFileAtomically(Path("f"), content, 0600);
        EXPECT_TRUE(written.ok()) << written;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(AtomicFileTest, ReadErrorsHaveTheirKind) {
  EXPECT_TRUE(absl::IsNotFound(ReadFile(Path("none")).status()));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  EXPECT_TRUE(ReadFile(Path("f"), 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(Path("f"), 4).status()));
  EXPECT_FALSE(ReadFile(folder_).ok());
}

TEST_F(AtomicFileTest, AnOwnFileIsReadLikeAnyOther) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  EXPECT_EQ(*ReadOwnFile(Path("f")), "12345");
  EXPECT_TRUE(absl::IsResourceExhausted(ReadOwnFile(Path("f"), 4).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadOwnFile(Path("none")).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadOwnFile(Path("none/f")).status()));
}

TEST_F(AtomicFileTest, WhatOthersCouldHaveWrittenIsNoOwnFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  for (const mode_t mode : {0620, 0602, 0666}) {
    ASSERT_EQ(chmod(Path("f").c_str(), mode), 0);
    EXPECT_TRUE(absl::IsPermissionDenied(ReadOwnFile(Path("f")).status())) << mode;
  }
  ASSERT_EQ(chmod(Path("f").c_str(), 0644), 0);
  EXPECT_TRUE(ReadOwnFile(Path("f")).ok());
}

TEST_F(AtomicFileTest, WhatOthersCouldHavePutThereIsNoOwnFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  for (const mode_t mode : {0770, 0707, 0777}) {
    ASSERT_EQ(chmod(folder_.c_str(), mode), 0);
    const absl::Status refused = ReadOwnFile(Path("f")).status();
    EXPECT_TRUE(absl::IsPermissionDenied(refused)) << mode << " " << refused;
  }
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_TRUE(ReadOwnFile(Path("f")).ok()) << "as in /tmp";
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
}

TEST_F(AtomicFileTest, ALinkAndAFifoAreNoOwnFiles) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  ASSERT_EQ(symlink(Path("f").c_str(), Path("link").c_str()), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadOwnFile(Path("link")).status()));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadOwnFile(Path("fifo")).status()));
  EXPECT_FALSE(ReadOwnFile(folder_).ok());
}

TEST_F(AtomicFileTest, ReadingAFifoDoesNotHang) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(*ReadFile(Path("fifo")), "");
}

}  // namespace
}  // namespace lanyard
