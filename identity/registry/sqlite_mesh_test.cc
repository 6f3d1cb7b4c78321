#include "identity/registry/sqlite_mesh.h"

#include <stdlib.h>

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "identity/registry/schema.h"

namespace lanyard {
namespace {

// What the tables promise is held in store_contract_test; here is what a damaged file does.
class SqliteMeshTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = std::string(getenv("TEST_TMPDIR")) + "/mesh.XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    database_ = *Database::Open(folder + "/db");
    ASSERT_TRUE(MigrateRegistrySchema(*database_).ok());
  }
  void ExpectDamaged(const std::string& sql, const absl::Status& read) {
    EXPECT_TRUE(absl::IsDataLoss(read)) << sql << ": " << read;
    EXPECT_NE(read.message().find(database_->path()), absl::string_view::npos) << read;
  }
  std::unique_ptr<Database> database_;
};

TEST_F(SqliteMeshTest, ANewFileHoldsNothing) {
  const auto records = ReadMeshRecords(*database_);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->version, 0u);
  EXPECT_TRUE(records->bans.empty());
}

TEST_F(SqliteMeshTest, RefusesARowThatDoesNotParse) {
  for (const std::string sql : {"INSERT INTO mesh_rules VALUES ('policy', 'a', '{')",
                                "INSERT INTO mesh_rules VALUES ('route', 'a', '{\"name\": \"A b\"}')",
                                "INSERT INTO bans VALUES ('nobody', '', 0, NULL)"}) {
    ASSERT_TRUE(database_->Execute(sql).ok());
    ExpectDamaged(sql, ReadMeshRecords(*database_).status());
    ASSERT_TRUE(database_->Execute("DELETE FROM mesh_rules; DELETE FROM bans").ok());
  }
  const SpiffeId agent = *SpiffeId::Parse("spiffe://td/lanyard/agent/a");
  const std::string sql = "INSERT INTO issuances VALUES ('0a', 'x', 'spiffe://td/lanyard/agent/a', 7)";
  ASSERT_TRUE(database_->Execute(sql).ok());
  ExpectDamaged(sql, ReadIssuances(*database_, agent, absl::UnixEpoch()).status());
}

TEST_F(SqliteMeshTest, AChangeThatFailsLeavesNothing) {
  ASSERT_TRUE(database_->Execute("DROP TABLE bans").ok());
  const PeerPattern web = *PeerPattern::Parse("spiffe://td/web");
  EXPECT_FALSE(WriteMeshChange(*database_, {.version = 1,
                                            .put_policies = {{{"web", {web}, {}}, 1, absl::UnixEpoch()}},
                                            .put_bans = {{*BanSubject::Parse("serial:0a"), "", absl::UnixEpoch()}}})
                   .ok());
  Statement read = database_->Prepare("SELECT (SELECT count(*) FROM mesh_rules) + version FROM mesh");
  ASSERT_TRUE(*read.Step());
  EXPECT_EQ(read.Int(0), 0);
}

}  // namespace
}  // namespace lanyard
