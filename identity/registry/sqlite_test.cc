#include "identity/registry/sqlite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

class SqliteTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(getenv("TEST_TMPDIR")) + "/sqlite.XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/db";
  }
  std::unique_ptr<Database> Open() {
    auto database = Database::Open(path_);
    EXPECT_TRUE(database.ok()) << database.status();
    return database.ok() ? *std::move(database) : nullptr;
  }
  // Runs `body` in a child process, for limits and rights that cannot be taken back; its exit code.
  static int InChild(const std::function<bool()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body() ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string folder_;
  std::string path_;
};

TEST_F(SqliteTest, IsDurableAndPrivate) {
  const std::unique_ptr<Database> database = Open();
  Statement mode = database->Prepare("PRAGMA journal_mode");
  ASSERT_TRUE(*mode.Step());
  EXPECT_EQ(mode.Text(0), "wal");
  Statement synchronous = database->Prepare("PRAGMA synchronous");
  ASSERT_TRUE(*synchronous.Step());
  EXPECT_EQ(synchronous.Int(0), 2);
  Statement keys = database->Prepare("PRAGMA foreign_keys");
  ASSERT_TRUE(*keys.Step());
  EXPECT_EQ(keys.Int(0), 1);
  struct stat facts;
  ASSERT_EQ(stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(SqliteTest, ATransactionIsAllOrNothing) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("CREATE TABLE t (a TEXT)").ok());
  const absl::Status failed = database->InTransaction([&] {
    EXPECT_TRUE(database->Execute("INSERT INTO t VALUES ('x')").ok());
    return absl::NotFoundError("no");
  });
  EXPECT_TRUE(absl::IsNotFound(failed));
  Statement count = database->Prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(*count.Step());
  EXPECT_EQ(count.Int(0), 0);
}

TEST_F(SqliteTest, BindsBytesAsTheyAre) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("CREATE TABLE t (a TEXT, b BLOB, c INTEGER, d TEXT)").ok());
  const std::string bytes("a\0'b", 4);
  ASSERT_TRUE(database->Prepare("INSERT INTO t VALUES (?1, ?2, ?3, ?4)")
                  .Bind("it's")
                  .BindBlob(bytes)
                  .Bind(int64_t{1} << 60)
                  .BindNull()
                  .Run()
                  .ok());
  Statement read = database->Prepare("SELECT * FROM t");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Text(0), "it's");
  EXPECT_EQ(read.Text(1), bytes);
  EXPECT_EQ(read.Int(2), int64_t{1} << 60);
  EXPECT_TRUE(read.IsNull(3));
  EXPECT_FALSE(*read.Step());
}

TEST_F(SqliteTest, AMistakeInSqlIsAnError) {
  const std::unique_ptr<Database> database = Open();
  EXPECT_FALSE(database->Prepare("SELEKT").Run().ok());
  EXPECT_FALSE(database->Execute("SELEKT").ok());
  EXPECT_FALSE(database->Prepare("SELECT 1").Bind("too many").Run().ok());
}

TEST_F(SqliteTest, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(8192, 'x');
  const absl::Status refused = Database::Open(path_).status();
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  EXPECT_NE(refused.message().find(path_), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("backup"), absl::string_view::npos) << refused;
}

TEST_F(SqliteTest, RefusesACorruptedDatabase) {
  {
    const std::unique_ptr<Database> database = Open();
    ASSERT_TRUE(database->Execute("CREATE TABLE t (a TEXT)").ok());
    // In one transaction: each waits for the disk.
    const absl::Status filled = database->InTransaction([&] {
      absl::Status status;
      for (int i = 0; i < 500 && status.ok(); ++i) {
        status = database->Prepare("INSERT INTO t VALUES (?1)").Bind(std::string(100, 'r')).Run();
      }
      return status;
    });
    ASSERT_TRUE(filled.ok()) << filled;
  }
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(2 * 4096);
  file << std::string(3 * 4096, '\x5a');
  file.close();
  EXPECT_TRUE(absl::IsDataLoss(Database::Open(path_).status())) << Database::Open(path_).status();
}

TEST_F(SqliteTest, RefusesAFolderThatIsNotThere) {
  const absl::Status refused = Database::Open(folder_ + "/none/db").status();
  EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
  EXPECT_NE(refused.message().find("/none/db"), absl::string_view::npos) << refused;
}

TEST_F(SqliteTest, RefusesAFolderItMayNotWriteTo) {
  EXPECT_EQ(InChild([&] {
              if (chmod(folder_.c_str(), 0500) != 0) return false;
              // Root is not held by a folder's mode.
              if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) return false;
              return absl::IsPermissionDenied(Database::Open(path_).status());
            }),
            0);
}

TEST_F(SqliteTest, AFullDiskIsAnErrorAndChangesNothing) {
  {
    const std::unique_ptr<Database> database = Open();
    ASSERT_TRUE(database->Execute("CREATE TABLE t (a TEXT)").ok());
    ASSERT_TRUE(database->Execute("INSERT INTO t VALUES ('kept')").ok());
  }
  // A process that may write no file longer than this fares as on a full disk.
  EXPECT_EQ(InChild([&] {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit = {64 << 10, 64 << 10};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
              auto database = Database::Open(path_);
              if (!database.ok()) return false;
              const absl::Status full = (*database)->InTransaction([&] {
                absl::Status status;
                for (int i = 0; i < 100 && status.ok(); ++i) {
                  status = (*database)->Prepare("INSERT INTO t VALUES (?1)").Bind(std::string(4000, 'x')).Run();
                }
                return status;
              });
              return absl::IsResourceExhausted(full) || absl::IsUnavailable(full);
            }),
            0);
  const std::unique_ptr<Database> database = Open();
  Statement count = database->Prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(*count.Step());
  EXPECT_EQ(count.Int(0), 1);
}

}  // namespace
}  // namespace lanyard
