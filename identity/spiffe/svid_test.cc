#include "identity/spiffe/svid.h"

#include <openssl/nid.h>
#include <openssl/x509.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/spiffe/svid_defect.h"

namespace lanyard {
namespace {

constexpr char kId[] = "spiffe://example.org/web";

TEST(X509Svid, HoldsChainKeyAndId) {
  const FakeCa root = FakeCa::Root("example.org");
  const FakeLeaf leaf = root.Intermediate().Leaf(kId);
  const auto svid = X509Svid::Create(leaf.chain, leaf.Key(), "internal");
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().ToString(), kId);
  EXPECT_EQ(svid->chain(), leaf.chain);
  EXPECT_EQ(svid->hint(), "internal");
  EXPECT_EQ(svid->not_after(), leaf.chain[0].not_after());
  EXPECT_EQ(svid->ChainDer(), leaf.chain[0].der() + leaf.chain[1].der());
}

TEST(X509Svid, RoundTripsThroughPem) {
  const X509Svid svid = FakeCa::Root("example.org").Intermediate().Leaf(kId).Svid();
  const auto again = X509Svid::ParsePem(svid.ChainPem(), svid.key().ExportPkcs8Pem().text());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->chain(), svid.chain());
  EXPECT_EQ(again->key().public_key_der(), svid.key().public_key_der());
}

TEST(X509Svid, WithAnotherKeyIsRefused) {
  const FakeCa root = FakeCa::Root("example.org");
  const absl::Status status = X509Svid::Create(root.Leaf(kId).chain, root.Leaf(kId).Key()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find(kId), absl::string_view::npos) << status;
}

TEST(X509Svid, WithoutCertificateIsRefused) {
  EXPECT_EQ(DefectOf(X509Svid::Create({}, *PrivateKey::Generate(KeyType::kEcP256)).status()), SvidDefect::kMalformed);
}

TEST(X509Svid, WithTheChainReversedIsRefused) {
  const FakeLeaf leaf = FakeCa::Root("example.org").Intermediate().Leaf(kId);
  EXPECT_EQ(DefectOf(X509Svid::Create({leaf.chain[1], leaf.chain[0]}, leaf.Key()).status()), SvidDefect::kCaAsLeaf);
}

TEST(LeafSpiffeId, SaysNothingOfTrust) {
  const FakeLeaf stranger = FakeCa::Root("somewhere").Leaf(kId);
  EXPECT_EQ(LeafSpiffeId(stranger.chain[0])->ToString(), kId);
}

}  // namespace
}  // namespace lanyard
