#include "proxy/control/publisher.h"

#include <memory>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "proxy/control/fake_worker_handle.h"

namespace lanyard {
namespace {

class PublisherTest : public testing::Test {
 protected:
  std::shared_ptr<const TlsContext> Tls() {
    return TlsContext::Create(ca_.Leaf("spiffe://td/web").Svid(), ca_.Bundles(), std::make_shared<VerifyCache>(),
                              clock_, {})
        .value();
  }
  static MeshRules RulesThat(OnSvidExpiry on_svid_expiry) {
    MeshRules rules;
    rules.on_svid_expiry = on_svid_expiry;
    return rules;
  }

  FakeCa ca_ = FakeCa::Root("td");
  FakeClock clock_{ca_.certificate().not_before() + absl::Hours(1)};
  FakeWorkerHandle a_, b_;
  Publisher publisher_{{&a_, &b_}, RulesThat(OnSvidExpiry::kKeep), clock_};
};

TEST_F(PublisherTest, WithoutAnIdentityNothingIsPublished) {
  publisher_.SetRules(RulesThat(OnSvidExpiry::kClose));
  EXPECT_TRUE(a_.views().empty());
  EXPECT_EQ(publisher_.version(), 0u);
  EXPECT_FALSE(publisher_.CollectAcknowledgements());
}

TEST_F(PublisherTest, TheFirstViewCarriesTheNewestRules) {
  publisher_.SetRules(RulesThat(OnSvidExpiry::kClose));
  const auto tls = Tls();
  publisher_.SetTls(tls);
  ASSERT_EQ(a_.views().size(), 1u);
  EXPECT_EQ(a_.views()[0]->version, 1u);
  EXPECT_EQ(a_.views()[0]->tls, tls);
  EXPECT_EQ(a_.views()[0]->on_svid_expiry, OnSvidExpiry::kClose);
  EXPECT_EQ(a_.views()[0], b_.views()[0]) << "every worker has the same view";
}

TEST_F(PublisherTest, EveryChangeIsANewWholeView) {
  const auto tls = Tls();
  publisher_.SetTls(tls);
  publisher_.SetRules(RulesThat(OnSvidExpiry::kClose));
  const auto renewed = Tls();
  publisher_.SetTls(renewed);
  ASSERT_EQ(b_.views().size(), 3u);
  EXPECT_EQ(b_.views()[0]->on_svid_expiry, OnSvidExpiry::kKeep) << "a published view never changes";
  EXPECT_EQ(b_.views()[1]->version, 2u);
  EXPECT_EQ(b_.views()[1]->tls, tls);
  EXPECT_EQ(b_.views()[2]->version, 3u);
  EXPECT_EQ(b_.views()[2]->tls, renewed);
  EXPECT_EQ(b_.views()[2]->on_svid_expiry, OnSvidExpiry::kClose);
}

TEST_F(PublisherTest, ThatTheIdentityWasWithdrawnHoldsAcrossNewRules) {
  const auto tls = Tls();
  publisher_.SetTls(tls);
  publisher_.SetTls(tls, true);
  publisher_.SetRules(RulesThat(OnSvidExpiry::kClose));
  publisher_.SetTls(tls);
  std::vector<bool> withdrawn;
  for (const auto& view : a_.views()) withdrawn.push_back(view->identity_withdrawn);
  EXPECT_EQ(withdrawn, std::vector<bool>({false, true, true, false}));
}

TEST_F(PublisherTest, AVersionIsAcknowledgedWhenEveryWorkerHas) {
  publisher_.SetTls(Tls());
  clock_.Advance(absl::Milliseconds(3));
  a_.Acknowledge();
  EXPECT_TRUE(publisher_.CollectAcknowledgements());
  EXPECT_EQ(publisher_.acknowledged_version(), 0u);
  clock_.Advance(absl::Milliseconds(4));
  b_.Acknowledge();
  EXPECT_FALSE(publisher_.CollectAcknowledgements());
  EXPECT_EQ(publisher_.acknowledged_version(), 1u);
  EXPECT_EQ(publisher_.acknowledgement_delay(), absl::Milliseconds(7));
  publisher_.SetRules({});
  EXPECT_TRUE(publisher_.CollectAcknowledgements());
  EXPECT_EQ(publisher_.acknowledged_version(), 1u);
}

}  // namespace
}  // namespace lanyard
