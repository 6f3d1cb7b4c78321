#include "identity/registry/token_rule.h"

#include "gtest/gtest.h"
#include "identity/registry/entry.h"

namespace lanyard {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

SpiffeId Agent(const char* name) { return *AgentId(*TrustDomain::Parse("example.org"), name); }
JoinToken Fresh() { return {"hash", Agent("n1"), kNow - absl::Minutes(1), kNow + absl::Minutes(1), std::nullopt}; }
Node At(absl::Time time, const char* name = "n1") { return {Agent(name), "join_token", time, "1", time}; }

TEST(TokenRuleTest, AFreshTokenServesItsAgentUntilTheInstantItExpires) {
  EXPECT_TRUE(CheckJoinToken(Fresh(), At(kNow)).ok());
  EXPECT_TRUE(CheckJoinToken(Fresh(), At(kNow + absl::Minutes(1) - absl::Microseconds(1))).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(CheckJoinToken(Fresh(), At(kNow + absl::Minutes(1)))));
}

TEST(TokenRuleTest, AUsedTokenServesNobody) {
  JoinToken used = Fresh();
  used.used_at = kNow;
  const absl::Status refused = CheckJoinToken(used, At(kNow));
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_NE(refused.message().find("was used at"), absl::string_view::npos) << refused;
}

TEST(TokenRuleTest, ATokenServesNoOtherAgent) {
  EXPECT_TRUE(absl::IsPermissionDenied(CheckJoinToken(Fresh(), At(kNow, "n2"))));
}

}  // namespace
}  // namespace lanyard
