#include "proxy/mesh/view_change.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

class ViewChangeTest : public testing::Test {
 protected:
  std::shared_ptr<const TlsContext> Context(const FakeLeaf& leaf, const BundleSet& bundles) {
    return TlsContext::Create(leaf.Svid(), bundles, std::make_shared<VerifyCache>(), SystemClock(), {}).value();
  }
  MeshView View() {
    MeshView view;
    view.tls = tls_;
    const AddressBlock ten = AddressBlock::Parse("10.0.0.0/8").value();
    view.routes = RouteTable({}, Route{"default", {ten}, {}, RouteAction::kPassThrough, {}});
    view.inbound = Policy("spiffe://td/*");
    const PeerPattern peer = PeerPattern::Parse("spiffe://td/a").value();
    view.listener_routes = {Route{"a", {}, {}, RouteAction::kMutualTls, {peer}}, {}};
    view.listener_policies = {InboundPolicy(), Policy("spiffe://td/b")};
    view.bans = BanOf("spiffe://td/bad");
    return view;
  }
  static BanSet BanOf(const std::string& subject, absl::Time expires_at = absl::InfiniteFuture()) {
    return BanSet({Ban{BanSubject::Parse(subject).value(), "", absl::UnixEpoch(), expires_at}});
  }
  static InboundPolicy Policy(const std::string& peer) {
    return InboundPolicy::Create({{"callers", {}, {PeerPattern::Parse(peer).value()}, false}}).value();
  }

  FakeCa root_ = FakeCa::Root("example.org");
  FakeCa next_root_ = FakeCa::Root("example.org");
  FakeLeaf leaf_ = root_.Leaf("spiffe://example.org/web");
  std::shared_ptr<const TlsContext> tls_ = Context(leaf_, root_.Bundles());
};

TEST_F(ViewChangeTest, EqualRulesTouchNothing) {
  const MeshView before = View();
  EXPECT_FALSE(CompareViews(&before, View()).TouchesConnections());
  EXPECT_FALSE(CompareViews(nullptr, View()).TouchesConnections());
}

TEST_F(ViewChangeTest, ARotationOfOurOwnTouchesNoConnection) {
  const MeshView before = View();
  MeshView now = View();
  now.tls = Context(root_.Leaf("spiffe://example.org/web"), root_.Bundles());
  const ViewChange change = CompareViews(&before, now);
  EXPECT_TRUE(change.own_svid);
  EXPECT_FALSE(change.TouchesConnections());
}

TEST_F(ViewChangeTest, AWithdrawalTouchesNoConnectionAndIsOneOnlyOnce) {
  const MeshView before = View();
  MeshView now = View();
  now.identity_withdrawn = true;
  EXPECT_TRUE(CompareViews(&before, now).identity_withdrawn);
  EXPECT_FALSE(CompareViews(&before, now).TouchesConnections());
  EXPECT_FALSE(CompareViews(&now, now).identity_withdrawn);
  EXPECT_FALSE(CompareViews(&now, before).identity_withdrawn) << "given again";
}

TEST_F(ViewChangeTest, ABundleThatGrowsTouchesNothingAndOneThatShrinksItsOwnTrustDomain) {
  BundleSet both;
  std::vector<Certificate> authorities = root_.Bundle().authorities();
  authorities.push_back(next_root_.Bundle().authorities().front());
  both.Set(X509Bundle::Create(root_.Bundle().trust_domain(), authorities).value());
  MeshView one = View(), two = View();
  two.tls = Context(leaf_, both);
  EXPECT_FALSE(CompareViews(&one, two).TouchesConnections());
  EXPECT_FALSE(CompareViews(&one, two).own_svid);
  const ViewChange shrunk = CompareViews(&two, one);
  EXPECT_TRUE(shrunk.TouchesConnections());
  EXPECT_EQ(shrunk.trust_domains, std::set<TrustDomain>{root_.Bundle().trust_domain()});
}

TEST_F(ViewChangeTest, ATrustDomainThatIsGoneIsTouched) {
  const FakeCa partner = FakeCa::Root("partner.example");
  BundleSet both = root_.Bundles();
  both.Set(partner.Bundle());
  MeshView before = View();
  before.tls = Context(leaf_, both);
  EXPECT_EQ(CompareViews(&before, View()).trust_domains, std::set<TrustDomain>{partner.Bundle().trust_domain()});
}

TEST_F(ViewChangeTest, ABanIsNamedAndALiftedOneIsNot) {
  const MeshView before = View();
  MeshView now = View();
  now.bans = BanOf("serial:0a");
  const ViewChange change = CompareViews(&before, now);
  EXPECT_TRUE(change.TouchesPeer(SpiffeId::Parse("spiffe://td/x").value(), "0a"));
  EXPECT_FALSE(change.TouchesPeer(SpiffeId::Parse("spiffe://td/bad").value(), "0b"));
  EXPECT_TRUE(change.TouchesConnections());
  now.bans = BanSet();
  EXPECT_FALSE(CompareViews(&before, now).TouchesConnections());
}

TEST_F(ViewChangeTest, ABanThatLastsLongerIsNewAndAShorterOneIsNot) {
  const absl::Time noon = absl::FromUnixSeconds(1'700'000'000);
  MeshView brief = View(), longer = View(), forever = View();
  brief.bans = BanOf("spiffe://td/a", noon);
  longer.bans = BanOf("spiffe://td/a", noon + absl::Hours(1));
  forever.bans = BanOf("spiffe://td/a");
  EXPECT_TRUE(CompareViews(&brief, longer).TouchesConnections());
  EXPECT_TRUE(CompareViews(&longer, forever).TouchesConnections());
  EXPECT_FALSE(CompareViews(&forever, longer).TouchesConnections());
  EXPECT_FALSE(CompareViews(&longer, brief).TouchesConnections());
  EXPECT_FALSE(CompareViews(&forever, forever).TouchesConnections());
}

TEST_F(ViewChangeTest, RulesTouchTheirOwnListenersOnly) {
  const MeshView before = View();
  MeshView now = View();
  now.routes = RouteTable();
  ViewChange change = CompareViews(&before, now);
  EXPECT_TRUE(change.TouchesRules(0, ListenerKind::kOutboundCapture));
  EXPECT_FALSE(change.TouchesRules(0, ListenerKind::kInboundCapture));
  EXPECT_FALSE(change.TouchesRules(0, ListenerKind::kOutboundStatic));
  now = View();
  now.inbound = Policy("spiffe://td/c");
  change = CompareViews(&before, now);
  EXPECT_TRUE(change.TouchesRules(0, ListenerKind::kInboundCapture));
  EXPECT_FALSE(change.TouchesRules(0, ListenerKind::kOutboundCapture));
  now = View();
  now.listener_policies[1] = Policy("spiffe://td/c");
  change = CompareViews(&before, now);
  EXPECT_FALSE(change.TouchesRules(0, ListenerKind::kOutboundStatic));
  EXPECT_TRUE(change.TouchesRules(1, ListenerKind::kInboundStatic));
  now = View();
  now.listener_routes.resize(1);
  EXPECT_TRUE(CompareViews(&before, now).TouchesRules(1, ListenerKind::kOutboundStatic)) << "rules that are gone";
}

TEST_F(ViewChangeTest, WhatExpiryMeansIsEverybodysBusiness) {
  const MeshView before = View();
  MeshView now = View();
  now.on_svid_expiry = OnSvidExpiry::kClose;
  EXPECT_TRUE(CompareViews(&before, now).on_svid_expiry);
  EXPECT_TRUE(CompareViews(&before, now).TouchesConnections());
}

}  // namespace
}  // namespace lanyard
