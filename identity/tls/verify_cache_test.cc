#include "identity/tls/verify_cache.h"

#include <openssl/ssl.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using Chain = bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)>;

Chain ChainOf(const FakeLeaf& leaf) {
  Chain chain(sk_CRYPTO_BUFFER_new_null());
  for (const Certificate& certificate : leaf.chain) {
    bssl::PushToStack(chain.get(), bssl::UpRef(certificate.buffer()));
  }
  return chain;
}

class VerifyCacheTest : public testing::Test {
 protected:
  const absl::Time now_ = SystemClock().Now();
  const FakeCa root_ = FakeCa::Root("example.org");
  const FakeLeaf leaf_ = root_.Intermediate().Leaf("spiffe://example.org/web", {.not_after = now_ + absl::Minutes(30)});
  const BundleSet bundles_ = root_.Bundles();
  const std::string version_ = bundles_.ContentVersion();
};

TEST_F(VerifyCacheTest, ASecondLookIsAHit) {
  VerifyCache cache;
  const auto first = cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->id.ToString(), "spiffe://example.org/web");
  const auto second = cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(cache.stats().hits, 1u);
  EXPECT_EQ(cache.stats().misses, 1u);
}

TEST_F(VerifyCacheTest, ValidityIsCheckedOnHitsAtBothEnds) {
  VerifyCache cache;
  ASSERT_TRUE(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_).ok());
  EXPECT_EQ(DefectOf(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_ + absl::Hours(1)).status()),
            SvidDefect::kExpired);
  EXPECT_EQ(DefectOf(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_ - absl::Hours(3)).status()),
            SvidDefect::kNotYetValid);
  EXPECT_TRUE(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_).ok());
  EXPECT_EQ(cache.stats().hits, 1u);
}

TEST_F(VerifyCacheTest, AnotherBundleIsAnotherQuestion) {
  VerifyCache cache;
  ASSERT_TRUE(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_).ok());
  const BundleSet others = FakeCa::Root("example.org").Bundles();
  EXPECT_EQ(DefectOf(cache.Verify(ChainOf(leaf_).get(), others, others.ContentVersion(), now_).status()),
            SvidDefect::kUntrusted);
}

TEST_F(VerifyCacheTest, ALeafWithoutItsIntermediateIsAnotherChain) {
  VerifyCache cache;
  ASSERT_TRUE(cache.Verify(ChainOf(leaf_).get(), bundles_, version_, now_).ok());
  FakeLeaf alone = leaf_;
  alone.chain.pop_back();
  EXPECT_EQ(DefectOf(cache.Verify(ChainOf(alone).get(), bundles_, version_, now_).status()), SvidDefect::kUntrusted);
}

TEST_F(VerifyCacheTest, RefusalsAreNotCachedAndNoChainIsOne) {
  VerifyCache cache;
  const Chain none(sk_CRYPTO_BUFFER_new_null());
  EXPECT_EQ(DefectOf(cache.Verify(none.get(), bundles_, version_, now_).status()), SvidDefect::kMalformed);
  EXPECT_EQ(DefectOf(cache.Verify(nullptr, bundles_, version_, now_).status()), SvidDefect::kMalformed);
  const BundleSet empty;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(DefectOf(cache.Verify(ChainOf(leaf_).get(), empty, empty.ContentVersion(), now_).status()),
              SvidDefect::kUnknownTrustDomain);
  }
  EXPECT_EQ(cache.stats().hits, 0u);
  EXPECT_EQ(cache.stats().misses, 2u);
}

TEST_F(VerifyCacheTest, ATooLongChainIsRefusedUnread) {
  VerifyCache cache;
  Chain chain = ChainOf(leaf_);
  while (sk_CRYPTO_BUFFER_num(chain.get()) <= Certificate::kMaxChainLength) {
    bssl::PushToStack(chain.get(), bssl::UpRef(leaf_.chain[1].buffer()));
  }
  EXPECT_EQ(DefectOf(cache.Verify(chain.get(), bundles_, version_, now_).status()), SvidDefect::kMalformed);
}

TEST_F(VerifyCacheTest, TheLeastRecentlyUsedGoesFirst) {
  VerifyCache cache(2);
  const FakeLeaf b = root_.Leaf("spiffe://example.org/b"), c = root_.Leaf("spiffe://example.org/c");
  const auto verify = [&](const FakeLeaf& leaf) {
    EXPECT_TRUE(cache.Verify(ChainOf(leaf).get(), bundles_, version_, now_).ok());
  };
  verify(leaf_);
  verify(b);
  verify(leaf_);   // hit
  verify(c);       // b goes
  verify(leaf_);   // hit
  verify(b);
  EXPECT_EQ(cache.stats().hits, 2u);
  EXPECT_EQ(cache.stats().misses, 4u);
  EXPECT_EQ(cache.stats().evictions, 2u);
}

TEST_F(VerifyCacheTest, ManyThreadsMayAskAtOnce) {
  VerifyCache cache(4);
  std::vector<FakeLeaf> leaves;
  for (char name = 'a'; name < 'i'; ++name) leaves.push_back(root_.Leaf(std::string("spiffe://example.org/") + name));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const FakeLeaf& leaf = leaves[i % leaves.size()];
        const auto verified = cache.Verify(ChainOf(leaf).get(), bundles_, version_, now_);
        ASSERT_TRUE(verified.ok());
        EXPECT_EQ((*verified)->serial, leaf.chain[0].serial());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.stats().hits + cache.stats().misses, 400u);
}

}  // namespace
}  // namespace lanyard
