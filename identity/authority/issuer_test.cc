#include "identity/authority/issuer.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(IssuerTest, AWorkloadsNameComesFromItsEntry) {
  AuthorityParts parts;
  const Entry entry = parts.CreateEntry("/web");
  const auto chain = parts.issuer->SignWorkload(entry, NewCsr());
  ASSERT_TRUE(chain.ok()) << chain.status();
  ASSERT_EQ(chain->size(), 2u);
  const auto verified = parts.Verify(*chain);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->id, entry.spiffe_id());
  EXPECT_EQ(chain->front().not_after(), parts.clock.Now() + absl::Hours(1));
  EXPECT_EQ(chain->front().not_before(), parts.clock.Now() - absl::Seconds(10));
}

TEST(IssuerTest, AnEntryMayChooseItsLifetime) {
  AuthorityParts parts;
  const auto chain = parts.issuer->SignWorkload(parts.CreateEntry("/web", "", absl::Minutes(7)), NewCsr());
  EXPECT_EQ(chain->front().not_after(), parts.clock.Now() + absl::Minutes(7));
}

TEST(IssuerTest, NoSvidOutlivesItsIssuer) {
  // A lifetime that was allowed when the entry was made, under longer intermediates.
  AuthorityParts parts(CaLifetimes{.root = absl::Hours(100), .intermediate = absl::Hours(2)},
                       {.x509_svid = absl::Hours(50)});
  const auto chain = parts.issuer->SignWorkload(parts.CreateEntry("/web"), NewCsr());
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ((*chain)[0].not_after(), (*chain)[1].not_after());
}

TEST(IssuerTest, RefusesWhatIsNoGoodRequest) {
  AuthorityParts parts;
  const Entry entry = parts.CreateEntry("/web");
  std::string altered = NewCsr();
  altered.back() = static_cast<char>(altered.back() ^ 1);
  for (const std::string& csr : {std::string(), std::string("not DER"), NewCsr() + "x", altered}) {
    EXPECT_TRUE(absl::IsInvalidArgument(parts.issuer->SignWorkload(entry, csr).status()));
  }
}

TEST(IssuerTest, SignsNothingWhenTheClockIsOutsideTheIntermediate) {
  AuthorityParts parts;
  const Entry entry = parts.CreateEntry("/web");
  const absl::Time start = parts.clock.Now();
  parts.clock.JumpTo(start - absl::Hours(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(parts.issuer->SignWorkload(entry, NewCsr()).status()));
  parts.clock.JumpTo(start + absl::Hours(25));
  EXPECT_TRUE(absl::IsFailedPrecondition(parts.issuer->SignWorkload(entry, NewCsr()).status()));
  ASSERT_TRUE(parts.rotation->Step().ok());
  EXPECT_TRUE(parts.issuer->SignWorkload(entry, NewCsr()).ok());
}

TEST(IssuerTest, TheAuthorityNamesItselfAndItsNodes) {
  AuthorityParts parts;
  const auto own = parts.issuer->MakeOwnSvid();
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->id().ToString(), "spiffe://example.org/lanyard/authority");
  EXPECT_TRUE(parts.Verify(own->chain()).ok());
  const SpiffeId agent = *AgentId(parts.trust_domain, "n1");
  EXPECT_EQ(parts.Verify(*parts.issuer->SignNode(agent, NewCsr()))->id, agent);
}

TEST(IssuerTest, SignsNothingForWhoIsBanned) {
  AuthorityParts parts;
  const Entry web = parts.CreateEntry("/web");
  const BanSubject subject = *BanSubject::Parse("spiffe://example.org/web");
  ASSERT_TRUE(parts.mesh->AddBan(subject, "stolen", absl::Hours(1)).ok());
  const absl::Status refused = parts.issuer->SignWorkload(web, NewCsr()).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_NE(refused.message().find("is banned until"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("stolen"), absl::string_view::npos) << refused;
  EXPECT_TRUE(parts.issuer->SignWorkload(parts.CreateEntry("/db"), NewCsr()).ok());
  EXPECT_TRUE(parts.issuer->MakeOwnSvid().ok());
  ASSERT_TRUE(parts.mesh->RemoveBan(subject).ok());
  EXPECT_TRUE(parts.issuer->SignWorkload(web, NewCsr()).ok());
}

}  // namespace
}  // namespace lanyard
