#include "identity/spiffe/bundle.h"

#include <openssl/nid.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

const TrustDomain kDomain = *TrustDomain::Parse("example.org");

TEST(X509Bundle, RoundTripsThroughDerAndPem) {
  const X509Bundle bundle = *X509Bundle::Create(
      kDomain, {FakeCa::Root("example.org").certificate(), FakeCa::Root("example.org").certificate()});
  const std::string der = bundle.ToConcatenatedDer();
  EXPECT_EQ(*X509Bundle::ParseConcatenatedDer(
                kDomain, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size())),
            bundle);
  EXPECT_EQ(*X509Bundle::ParsePem(kDomain, bundle.ToPem()), bundle);
}

TEST(X509Bundle, MayBeEmptyButNotFromPem) {
  EXPECT_TRUE(X509Bundle::Create(kDomain, {})->authorities().empty());
  EXPECT_TRUE(X509Bundle::ParseConcatenatedDer(kDomain, {})->authorities().empty());
  EXPECT_FALSE(X509Bundle::ParsePem(kDomain, "").ok());
}

TEST(X509Bundle, DropsDuplicates) {
  const Certificate root = FakeCa::Root("example.org").certificate();
  EXPECT_EQ(X509Bundle::Create(kDomain, {root, root, root})->authorities().size(), 1u);
}

TEST(X509Bundle, LeafAsAuthorityIsRefused) {
  const FakeLeaf leaf = FakeCa::Root("example.org").Leaf("spiffe://example.org/web");
  EXPECT_TRUE(absl::IsInvalidArgument(X509Bundle::Create(kDomain, {leaf.chain[0]}).status()));
}

TEST(X509Bundle, AuthorityThatMayNotSignIsRefused) {
  const FakeCa root =
      FakeCa::Root("example.org", {.mutate = [](X509* x) { SetExtension(x, NID_key_usage, "critical,cRLSign"); }});
  EXPECT_FALSE(X509Bundle::Create(kDomain, {root.certificate()}).ok());
}

TEST(X509Bundle, AuthorityWithoutKeyUsageOrSpiffeIdIsTaken) {
  const FakeCa root = FakeCa::Root("example.org", {.mutate = [](X509* x) {
    SetExtension(x, NID_key_usage, "");
    SetUris(x, {"https://example.org/ca"});
  }});
  EXPECT_TRUE(X509Bundle::Create(kDomain, {root.certificate()}).ok());
}

TEST(X509Bundle, AuthorityNamedAsAWorkloadIsRefused) {
  const FakeCa root =
      FakeCa::Root("example.org", {.mutate = [](X509* x) { SetUris(x, {"spiffe://example.org/web"}); }});
  const absl::Status status = X509Bundle::Create(kDomain, {root.certificate()}).status();
  EXPECT_NE(status.message().find("spiffe://example.org/web"), absl::string_view::npos) << status;
}

// The standard's own example of a root is named so (Trust Domain and Bundle, appendix A).
TEST(X509Bundle, RootPathOfAnAuthorityIsNoPath) {
  const FakeCa root = FakeCa::Root("example.org", {.mutate = [](X509* x) { SetUris(x, {"spiffe://example.org/"}); }});
  const auto bundle = X509Bundle::Create(kDomain, {root.certificate()});
  EXPECT_TRUE(bundle.ok()) << bundle.status();
}

TEST(X509Bundle, TooManyAuthoritiesAreRefused) {
  std::vector<Certificate> authorities;
  for (size_t i = 0; i <= X509Bundle::kMaxAuthorities; ++i) {
    authorities.push_back(FakeCa::Root("example.org").certificate());
  }
  EXPECT_FALSE(X509Bundle::Create(kDomain, authorities).ok());
  authorities.pop_back();
  EXPECT_TRUE(X509Bundle::Create(kDomain, authorities).ok());
}

TEST(BundleSet, FindsByTrustDomainAndReplaces) {
  const FakeCa first = FakeCa::Root("example.org"), second = FakeCa::Root("example.org");
  BundleSet set;
  EXPECT_EQ(set.Find(kDomain), nullptr);
  set.Set(first.Bundle());
  set.Set(second.Bundle());
  ASSERT_NE(set.Find(kDomain), nullptr);
  EXPECT_EQ(set.Find(kDomain)->authorities(), std::vector<Certificate>{second.certificate()});
  EXPECT_EQ(set.Find(*TrustDomain::Parse("example.com")), nullptr);
}

TEST(BundleSet, ContentVersionFollowsTheContentOnly) {
  const FakeCa a = FakeCa::Root("a"), b = FakeCa::Root("b");
  BundleSet first, second, only_a;
  first.Set(a.Bundle());
  first.Set(b.Bundle());
  second.Set(b.Bundle());
  second.Set(a.Bundle());
  only_a.Set(a.Bundle());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.ContentVersion(), second.ContentVersion());
  EXPECT_EQ(first.ContentVersion().size(), 32u);
  EXPECT_NE(first.ContentVersion(), only_a.ContentVersion());
  EXPECT_NE(only_a.ContentVersion(), BundleSet().ContentVersion());
}

}  // namespace
}  // namespace lanyard
