#include "identity/registry/schema.h"

#include <stdlib.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

class SchemaTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(getenv("TEST_TMPDIR")) + "/schema.XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    database_ = *Database::Open(folder_ + "/db");
  }
  int64_t Version() {
    Statement read = database_->Prepare("PRAGMA user_version");
    return *read.Step() ? read.Int(0) : -1;
  }
  std::string folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(SchemaTest, BringsAnEmptyFileToTheNewestVersion) {
  ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  EXPECT_EQ(Version(), RegistrySchemaVersion());
  EXPECT_TRUE(database_->Execute("SELECT * FROM entries, nodes, join_tokens, authorities, revision").ok());
  EXPECT_TRUE(database_->Execute("SELECT * FROM mesh, mesh_rules, bans, issuances").ok());
}

TEST_F(SchemaTest, AFileOfTheFirstVersionKeepsItsRecords) {
  ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  // As the first version left it.
  ASSERT_TRUE(database_
                  ->Execute("DROP TABLE mesh; DROP TABLE mesh_rules; DROP TABLE bans; DROP TABLE issuances;"
                            "ALTER TABLE nodes DROP COLUMN min_not_before;"
                            "INSERT INTO nodes VALUES ('spiffe://example.org/n1', 'join_token', 1, '1f', 2);"
                            "UPDATE revision SET value = 7; PRAGMA user_version=1")
                  .ok());
  ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  EXPECT_EQ(Version(), RegistrySchemaVersion());
  Statement read = database_->Prepare("SELECT revision.value, mesh.version, min_not_before FROM revision, mesh, nodes");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Int(0), 7);
  EXPECT_EQ(read.Int(1), 0);
  EXPECT_EQ(read.Int(2), 0) << "no SVID of a node attested before is too old";
}

TEST_F(SchemaTest, LeavesAFileOfThisVersionAlone) {
  ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  ASSERT_TRUE(database_->Execute("UPDATE revision SET value = 7").ok());
  ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  Statement read = database_->Prepare("SELECT value FROM revision");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Int(0), 7);
}

TEST_F(SchemaTest, RefusesAFileOfANewerProgram) {
  ASSERT_TRUE(database_->Execute(absl::StrCat("PRAGMA user_version=", RegistrySchemaVersion() + 1)).ok());
  const absl::Status refused = MigrateRegistrySchema(*database_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_NE(refused.message().find("newer lanyard-authority"), absl::string_view::npos) << refused;
}

TEST_F(SchemaTest, AFailedStepLeavesTheOldVersion) {
  // A table of the step's name in the way.
  ASSERT_TRUE(database_->Execute("CREATE TABLE nodes (a TEXT)").ok());
  EXPECT_FALSE(MigrateRegistrySchema(*database_).ok());
  EXPECT_EQ(Version(), 0);
  EXPECT_FALSE(database_->Execute("SELECT * FROM entries").ok());
}

}  // namespace
}  // namespace lanyard
