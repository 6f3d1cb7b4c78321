#include "proxy/link/link.h"

#include <functional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/link/link_testing.h"

namespace lanyard {
namespace {

class LinkTest : public testing::Test {
 protected:
  void SetUp() override {
    LinkPair pair = harness_.Links();
    opener_ = pair.opener.get();
    acceptor_ = pair.acceptor.get();
    opener_lower_ = pair.opener_lower;
    harness_.near.Keep(std::move(pair.opener));
    harness_.far.Keep(std::move(pair.acceptor));
  }
  bool Until(const std::function<bool()>& done) { return harness_.TurnUntil(done); }

  LinkHarness harness_;
  Link* opener_ = nullptr;
  Link* acceptor_ = nullptr;
  FakeStream* opener_lower_ = nullptr;
};

TEST_F(LinkTest, KnowsBothIdentitiesAndHoldsNoBuffer) {
  EXPECT_EQ(opener_->peer()->id.ToString(), "spiffe://example.org/api");
  EXPECT_EQ(acceptor_->peer()->id.ToString(), "spiffe://example.org/web");
  EXPECT_EQ(opener_->own(), LinkIds().web);
  EXPECT_TRUE(opener_->idle());
  EXPECT_TRUE(Link::Speaks(opener_->ssl()));
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(LinkTest, AnswersAPing) {
  opener_->Ping();
  EXPECT_TRUE(opener_->awaits_pong());
  EXPECT_TRUE(Until([&] { return !opener_->awaits_pong(); }));
  acceptor_->Ping();
  EXPECT_TRUE(Until([&] { return !acceptor_->awaits_pong(); }));
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(LinkTest, TellsThatThePeerGoesAway) {
  acceptor_->GoAway(GoAwayReason::kDraining);
  EXPECT_TRUE(Until([&] { return harness_.near.go_away.has_value(); }));
  EXPECT_EQ(*harness_.near.go_away, GoAwayReason::kDraining);
  EXPECT_EQ(opener_->going_away(), GoAwayReason::kDraining);
  EXPECT_TRUE(opener_->idle());
}

TEST_F(LinkTest, RetiringEndsBothSidesInGoodOrder) {
  opener_->Retire();
  EXPECT_TRUE(Until([&] { return harness_.near.closed == 1 && harness_.far.closed == 1; }));
  EXPECT_EQ(harness_.near.last_error, StreamError::kNone);
  EXPECT_EQ(harness_.far.last_error, StreamError::kNone);
}

TEST_F(LinkTest, AnEndWithoutCloseNotifyIsAnError) {
  opener_lower_->Reset();
  EXPECT_TRUE(Until([&] { return harness_.far.closed == 1; }));
  EXPECT_EQ(harness_.far.last_error, StreamError::kReset);
}

}  // namespace
}  // namespace lanyard
