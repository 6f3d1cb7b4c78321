#include "identity/spiffe/spiffe_id.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::string WhyNot(absl::string_view uri) {
  const auto id = SpiffeId::Parse(uri);
  EXPECT_EQ(id.ok() ? absl::StatusCode::kInvalidArgument : id.status().code(), absl::StatusCode::kInvalidArgument);
  return id.ok() ? "accepted" : std::string(id.status().message());
}

TEST(SpiffeId, SplitsIntoTrustDomainAndPath) {
  const auto id = SpiffeId::Parse("spiffe://example.org/ns/prod/Web_1.2-3");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->trust_domain().name(), "example.org");
  EXPECT_EQ(id->path(), "/ns/prod/Web_1.2-3");
  EXPECT_TRUE(id->has_path());
  EXPECT_EQ(id->ToString(), "spiffe://example.org/ns/prod/Web_1.2-3");
}

TEST(SpiffeId, OfATrustDomainHasNoPath) {
  const auto id = SpiffeId::Parse("spiffe://example.org");
  ASSERT_TRUE(id.ok());
  EXPECT_FALSE(id->has_path());
  EXPECT_EQ(id->path(), "");
}

TEST(SpiffeId, PathIsCaseSensitive) {
  EXPECT_NE(*SpiffeId::Parse("spiffe://td/a"), *SpiffeId::Parse("spiffe://td/A"));
}

TEST(SpiffeId, RefusesOtherSchemesAndSpellings) {
  for (absl::string_view uri : {"", "spiffe", "spiffe:", "spiffe:/", "spiffe:td/a", "http://td/a", "SPIFFE://td/a",
                                "Spiffe://td/a", " spiffe://td/a", "spiffes://td/a"}) {
    EXPECT_NE(WhyNot(uri).find("does not start with spiffe://"), std::string::npos) << uri;
  }
}

TEST(SpiffeId, RefusesBadTrustDomains) {
  for (absl::string_view uri : {"spiffe://", "spiffe:///a", "spiffe://TD/a", "spiffe://td:80/a", "spiffe://u@td/a",
                                "spiffe://t%64/a", "spiffe://td?q", "spiffe://td#f"}) {
    EXPECT_NE(WhyNot(uri).find("has no valid trust domain"), std::string::npos) << uri;
  }
}

TEST(SpiffeId, RefusesBadSegments) {
  EXPECT_NE(WhyNot("spiffe://td//a").find("empty path segment"), std::string::npos);
  EXPECT_NE(WhyNot("spiffe://td/a//b").find("empty path segment"), std::string::npos);
  for (absl::string_view uri : {"spiffe://td/.", "spiffe://td/..", "spiffe://td/a/../b", "spiffe://td/./a"}) {
    EXPECT_NE(WhyNot(uri).find("relative path segment"), std::string::npos) << uri;
  }
  for (absl::string_view uri : {"spiffe://td/", "spiffe://td/a/", "spiffe://td//"}) {
    EXPECT_NE(WhyNot(uri).find("ends in '/'"), std::string::npos) << uri;
  }
  EXPECT_TRUE(SpiffeId::Parse("spiffe://td/...").ok());
}

TEST(SpiffeId, RefusesEachForbiddenByteInThePath) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (c == '/') continue;
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                         c == '-' || c == '_';
    EXPECT_EQ(SpiffeId::Parse(std::string("spiffe://td/a") + c + "b").ok(), allowed) << byte;
  }
}

TEST(SpiffeId, HasAtMost2048Bytes) {
  const std::string longest = "spiffe://td/" + std::string(SpiffeId::kMaxSizeBytes - 12, 'x');
  EXPECT_TRUE(SpiffeId::Parse(longest).ok());
  EXPECT_NE(WhyNot(longest + "x").find("longer than 2048 bytes"), std::string::npos);
}

TEST(SpiffeId, FromPartsFollowsTheSameRules) {
  const TrustDomain td = *TrustDomain::Parse("td");
  EXPECT_EQ(SpiffeId::FromParts(td, "/a/b")->ToString(), "spiffe://td/a/b");
  EXPECT_EQ(SpiffeId::FromParts(td, "")->ToString(), "spiffe://td");
  for (absl::string_view path : {"a", "/", "/a/", "//a", "/..", "/%61", ".evil/a", ":80/a"}) {
    EXPECT_FALSE(SpiffeId::FromParts(td, path).ok()) << path;
  }
}

}  // namespace
}  // namespace lanyard
