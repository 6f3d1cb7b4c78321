#include "identity/registry/records.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(RecordsTest, NamesLeadBackToTheirValues) {
  for (AuthorityKind kind : {AuthorityKind::kRoot, AuthorityKind::kIntermediate}) {
    EXPECT_EQ(AuthorityKindFromName(AuthorityKindName(kind)), kind);
  }
  for (AuthorityState state : {AuthorityState::kPrepared, AuthorityState::kActive, AuthorityState::kRetired}) {
    EXPECT_EQ(AuthorityStateFromName(AuthorityStateName(state)), state);
  }
  EXPECT_EQ(AuthorityKindFromName("leaf"), std::nullopt);
  EXPECT_EQ(AuthorityStateFromName(""), std::nullopt);
}

}  // namespace
}  // namespace lanyard
