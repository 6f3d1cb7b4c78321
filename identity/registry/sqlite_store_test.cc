// What only the SQLite store promises; the rest is store_contract_test.cc.
#include "identity/registry/sqlite_store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

TrustDomain Ours() { return *TrustDomain::Parse("example.org"); }

Entry MakeEntry(const std::string& id) {
  EntryFields fields;
  fields.id = id;
  fields.spiffe_id = absl::StrCat("spiffe://example.org/", id);
  fields.selectors = {"unix:uid:1", "unix:gid:2"};
  return *Entry::Parse(fields, Ours());
}

class SqliteStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(getenv("TEST_TMPDIR")) + "/store.XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/registry.db";
  }
  std::unique_ptr<SqliteStore> Open() {
    auto store = SqliteStore::Open(path_, Ours());
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Creates entries named by `round`, and prints each name once it is acknowledged, until killed.
  [[noreturn]] void WriteUntilKilled(int round, int out) {
    auto store = SqliteStore::Open(path_, Ours());
    if (!store.ok()) _exit(1);
    for (int i = 0;; ++i) {
      const std::string id = absl::StrCat("r", round, ".", i);
      if (!(*store)->CreateEntry(MakeEntry(id)).ok()) _exit(1);
      const std::string line = id + "\n";
      if (write(out, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(1);
    }
  }

  // Starts a writer, kills it after some acknowledgements, adds every acknowledged name to `acknowledged`.
  void KillAWriter(int round, std::set<std::string>& acknowledged) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) WriteUntilKilled(round, ends[1]);
    close(ends[1]);
    std::string text;
    char buffer[256];
    // Each round is cut at another place of the cycle: by bytes read, not by time.
    while (text.size() < 40u + 7u * static_cast<size_t>(round)) {
      const ssize_t got = read(ends[0], buffer, sizeof(buffer));
      if (got <= 0) break;
      text.append(buffer, static_cast<size_t>(got));
    }
    kill(child, SIGKILL);
    for (ssize_t got; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<size_t>(got));
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed by itself";
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      acknowledged.insert(text.substr(at, end - at));
    }
  }

  std::string folder_;
  std::string path_;
};

TEST_F(SqliteStoreTest, SurvivesReopening) {
  uint64_t revision = 0;
  {
    const std::unique_ptr<SqliteStore> store = Open();
    ASSERT_TRUE(store->CreateEntry(MakeEntry("one")).ok());
    revision = *store->Revision();
  }
  const std::unique_ptr<SqliteStore> store = Open();
  ASSERT_EQ(store->ListEntries()->size(), 1u);
  EXPECT_EQ(store->ListEntries()->front(), MakeEntry("one"));
  EXPECT_EQ(*store->Revision(), revision);
}

TEST_F(SqliteStoreTest, LosesNothingAcknowledgedWhenItIsKilled) {
  std::set<std::string> acknowledged;
  for (int round = 0; round < 12; ++round) {
    KillAWriter(round, acknowledged);
    if (HasFatalFailure()) return;
    std::set<std::string> kept;
    const auto entries = Open()->ListEntries();
    ASSERT_TRUE(entries.ok()) << entries.status();
    for (const Entry& entry : *entries) {
      kept.insert(entry.id());
      EXPECT_EQ(entry.selectors().size(), 2u) << "half an entry: " << entry.id();
    }
    for (const std::string& id : acknowledged) EXPECT_TRUE(kept.contains(id)) << id << " was lost";
    // At most the one that was on its way when the kill came.
    EXPECT_LE(kept.size(), acknowledged.size() + static_cast<size_t>(round) + 1);
  }
  EXPECT_GE(acknowledged.size(), 12u);
}

TEST_F(SqliteStoreTest, RefusesARowThatDoesNotParse) {
  ASSERT_TRUE(Open()->CreateEntry(MakeEntry("one")).ok());
  {
    auto database = Database::Open(path_);
    ASSERT_TRUE((*database)->Execute("UPDATE entries SET spiffe_id = 'spiffe://other.org/lanyard/authority'").ok());
  }
  const absl::Status damaged = Open()->ListEntries().status();
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_NE(damaged.message().find(path_), absl::string_view::npos) << damaged;
}

}  // namespace
}  // namespace lanyard
