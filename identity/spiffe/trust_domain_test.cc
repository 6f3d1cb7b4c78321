#include "identity/spiffe/trust_domain.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(TrustDomain, TakesEveryAllowedCharacter) {
  for (const std::string& name :
       {std::string("example.org"), std::string("a"), std::string("a-b_c.9"), std::string("10.0.0.1"),
        std::string(TrustDomain::kMaxSizeBytes, 'x')}) {
    const auto parsed = TrustDomain::Parse(name);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->name(), name);
    EXPECT_EQ(parsed->IdString(), "spiffe://" + name);
  }
}

TEST(TrustDomain, RefusesEverythingElseAndNeverNormalises) {
  const std::string refused[] = {"", "Example.org", "example.org:443", "user@example.org", "ex%61mple.org",
                                 "a/b", "a b", "a?b", "a#b", "[::1]", "\xc3\xa9.org", std::string("a\0b", 3),
                                 "spiffe://example.org", std::string(TrustDomain::kMaxSizeBytes + 1, 'x')};
  for (const std::string& name : refused) {
    EXPECT_TRUE(absl::IsInvalidArgument(TrustDomain::Parse(name).status())) << name;
  }
}

TEST(TrustDomain, ErrorShowsTheNameAndTheCharacter) {
  EXPECT_EQ(TrustDomain::Parse("Example.org").status().message(),
            "trust domain \"Example.org\" holds \"E\": only a-z, 0-9, '.', '-' and '_' are allowed");
}

TEST(TrustDomain, RefusesEachForbiddenByte) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    EXPECT_EQ(TrustDomain::Parse(std::string("a") + c).ok(), allowed) << byte;
  }
}

}  // namespace
}  // namespace lanyard
