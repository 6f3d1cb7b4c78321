#include "identity/spiffe/fake_ca.h"

#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

TEST(FakeCa, MintsChainsThatHold) {
  const FakeCa root = FakeCa::Root("example.org");
  const FakeCa deep = root.Intermediate().Intermediate();
  for (const FakeCa& ca : {root, root.Intermediate(), deep}) {
    const FakeLeaf leaf = ca.Leaf("spiffe://example.org/web");
    const auto verified = VerifySvid(leaf.chain, root.Bundles(), SystemClock().Now());
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(leaf.Svid().id(), verified->id);
  }
  EXPECT_EQ(deep.Leaf("spiffe://example.org/web").chain.size(), 3u);
}

TEST(FakeCa, TakesKeysOfEveryKind) {
  const FakeCa root = FakeCa::Root("example.org", {.key = FakeEd25519Key()});
  for (const auto& key : {FakeRsaKey(2048), FakeEd25519Key()}) {
    const FakeLeaf leaf = root.Leaf("spiffe://example.org/web", {.key = key});
    EXPECT_TRUE(VerifySvid(leaf.chain, root.Bundles(), SystemClock().Now()).ok());
    EXPECT_TRUE(X509Svid::ParsePem(leaf.ChainPem(), leaf.KeyPem()).ok());
  }
}

}  // namespace
}  // namespace lanyard
