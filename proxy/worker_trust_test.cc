// Whom a pair of workers lets through, and whom it turns away, each for its own reason.
#include <openssl/nid.h>

#include <future>

#include "proxy/worker_pair_testing.h"

namespace lanyard {
namespace {

TEST_F(WorkerPair, ResumesTheSecondConnectionOfAPlainPeerAndVerifiesItAgain) {
  api_ = PlainIdentity(kApi);
  StartBoth();
  for (int i = 0; i < 3; ++i) {
    Caller caller = Call();
    ASSERT_TRUE(caller.Send("hello"));
    EXPECT_EQ(caller.Read(5), "hello");
    caller.Finish();
    EXPECT_EQ(caller.HowItEnds(), "end");
    ASSERT_TRUE(InboundCloses("normal", i + 1));
  }
  EXPECT_EQ(outbound_->Counters().handshakes_resumed, 2u);
  PublishAndWait(*inbound_, InboundView({"spiffe://example.org/other"}));
  Caller caller = Call();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("denied_by_policy"));
}

TEST_F(WorkerPair, AServerWithAnotherIdIsRefusedBeforeAnyByte) {
  StartInbound(InboundView({kWeb}));
  StartOutbound(OutboundView({"spiffe://example.org/other"}));
  Caller caller = Call();
  caller.Send("secret");
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("peer_not_expected"));
  EXPECT_EQ(outbound_->Counters().bytes_to_mesh, 0u);
  EXPECT_EQ(server_->accepted(), 0);
}

TEST_F(WorkerPair, ACallerThatNoRuleAllowsIsDenied) {
  StartInbound(InboundView({"spiffe://example.org/other"}));
  StartOutbound(OutboundView({kApi}));
  Caller caller = Call();
  caller.Send("secret");
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("denied_by_policy"));
  EXPECT_EQ(server_->accepted(), 0) << "the workload is not dialled before it is allowed";
}

TEST_F(WorkerPair, ARefusedRouteIsAReset) {
  StartInbound(InboundView({kWeb}));
  StartOutbound(OutboundView({}, RouteAction::kRefuse));
  Caller caller = Call();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("route_refused"));
}

TEST_F(WorkerPair, PassThroughIsNotTls) {
  StartInbound(InboundView({}, true));
  StartOutbound(OutboundView({}, RouteAction::kPassThrough));
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("plain"));
  EXPECT_EQ(caller.Read(5), "plain");
  EXPECT_EQ(outbound_->Counters().handshakes_full, 0u);
}

TEST_F(WorkerPair, CallersWithoutAGoodSvidAreTurnedAwayEachForItsReason) {
  StartInbound(InboundView({"spiffe://example.org/*"}));
  const absl::Time now = absl::Now();
  const FakeLeaf good = intermediate_.Leaf(kWeb);
  const FakeLeaf expired =
      intermediate_.Leaf(kWeb, {.not_before = now - absl::Hours(2), .not_after = now - absl::Minutes(1)});
  const FakeLeaf foreign = FakeCa::Root("foreign.example").Leaf("spiffe://foreign.example/web");
  const FakeLeaf impostor = FakeCa::Root("example.org").Leaf(kWeb);
  const FakeLeaf two = intermediate_.Leaf(kWeb, {.mutate = [](X509* x) { SetUris(x, {kWeb, kApi}); }});
  const FakeLeaf ca = intermediate_.Leaf(
      kWeb, {.mutate = [](X509* x) { SetExtension(x, NID_basic_constraints, "critical,CA:TRUE"); }});
  const struct {
    const FakeLeaf* leaf;
    const char* reason;
  } cases[] = {{nullptr, "no_peer_certificate"}, {&expired, "svid_expired"},
               {&foreign, "unknown_trust_domain"}, {&impostor, "untrusted"},
               {&two, "several_uri_names"}, {&ca, "ca_as_leaf"}};
  for (const auto& each : cases) {
    ForeignTlsClient client(InboundAddress(), each.leaf);
    EXPECT_EQ(client.Ask("hello"), "") << each.reason;
    EXPECT_TRUE(InboundCloses(each.reason)) << each.reason;
  }
  EXPECT_EQ(server_->accepted(), 0);
  ForeignTlsClient client(InboundAddress(), &good);
  EXPECT_EQ(client.Ask("hello"), "hello") << "any TLS client with a good SVID is welcome";
}

TEST_F(WorkerPair, AnEndWithoutCloseNotifyIsAResetForTheServer) {
  std::promise<std::string> how;
  Serve([&](Caller& caller) { how.set_value(caller.HowItEnds()); });
  StartInbound(InboundView({kWeb}));
  const FakeLeaf leaf = intermediate_.Leaf(kWeb);
  ForeignTlsClient client(InboundAddress(), &leaf);
  SSL_write(client.ssl(), "half", 4);
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().bytes_from_mesh == 4; }));
  client.caller().Finish();
  EXPECT_EQ(how.get_future().get(), "reset");
  EXPECT_TRUE(InboundCloses("tls_truncated"));
}

TEST_F(WorkerPair, PlaintextToAStrictPortIsRefused) {
  StartInbound(InboundView({kWeb}));
  Caller caller(InboundAddress());
  ASSERT_TRUE(caller.Send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(caller.ReadAll(), (std::pair<std::string, std::string>{"", "reset"}));
  EXPECT_TRUE(InboundCloses("plaintext_refused"));
  EXPECT_EQ(server_->accepted(), 0);
}

TEST_F(WorkerPair, ASilentCallerOfAStrictPortTimesOut) {
  ConnectionLimits limits;
  limits.handshake_timeout = absl::Milliseconds(50);
  StartInbound(InboundView({kWeb}), limits);
  Caller caller(InboundAddress());
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("handshake_timeout"));
}

TEST_F(WorkerPair, APermissivePortTakesPlaintextAndTls) {
  StartInbound(InboundView({kWeb}, true));
  StartOutbound(OutboundView({kApi}));
  Caller plain(InboundAddress());
  ASSERT_TRUE(plain.Send("plain"));
  EXPECT_EQ(plain.Read(5), "plain");
  Caller meshed = Call();
  ASSERT_TRUE(meshed.Send("meshed"));
  EXPECT_EQ(meshed.Read(6), "meshed");
  EXPECT_GE(inbound_->Counters().handshakes_full, 1u) << "one may be ahead of need";
}

TEST_F(WorkerPair, OnAPermissivePortASilentCallerMeetsAServerThatSpeaksFirst) {
  Serve([](Caller& caller) { caller.Send("220 ready\r\n"); });
  StartInbound(InboundView({kWeb}, true));
  Caller caller(InboundAddress());
  EXPECT_EQ(caller.Read(11), "220 ready\r\n");
}

TEST_F(WorkerPair, AChangedPolicyClosesExactlyWhatItNoLongerAllows) {
  StartInbound(InboundView({kWeb, "spiffe://example.org/other"}));
  StartOutbound(OutboundView({kApi}));
  Caller web = Call();
  ASSERT_TRUE(web.Send("a"));
  EXPECT_EQ(web.Read(1), "a");
  const FakeLeaf other_leaf = intermediate_.Leaf("spiffe://example.org/other");
  ForeignTlsClient other(InboundAddress(), &other_leaf);
  EXPECT_EQ(other.Ask("b"), "b");
  PublishAndWait(*inbound_, InboundView({"spiffe://example.org/other"}));
  EXPECT_EQ(web.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("policy_changed"));
  EXPECT_EQ(other.Ask("c"), "c") << "still allowed, untouched";
}

TEST_F(WorkerPair, AChangedRouteClosesWhatItNoLongerExpects) {
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("a"));
  EXPECT_EQ(caller.Read(1), "a");
  PublishAndWait(*outbound_, OutboundView({"spiffe://example.org/other"}));
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("policy_changed"));
}

TEST_F(WorkerPair, AWithdrawnBundleClosesThoseItVouchedFor) {
  const FakeCa partner = FakeCa::Root("partner.example");
  BundleSet both = root_.Bundles();
  both.Set(partner.Bundle());
  MeshView view = InboundView({kWeb, "spiffe://partner.example/*"});
  view.tls = api_ = Identity(intermediate_.Leaf(kApi), both);
  StartInbound(view);
  StartOutbound(OutboundView({kApi}));
  Caller web = Call();
  ASSERT_TRUE(web.Send("a"));
  EXPECT_EQ(web.Read(1), "a");
  const FakeLeaf partner_leaf = partner.Leaf("spiffe://partner.example/caller");
  ForeignTlsClient other(InboundAddress(), &partner_leaf);
  EXPECT_EQ(other.Ask("b"), "b");
  view.tls = Identity(intermediate_.Leaf(kApi), root_.Bundles());
  PublishAndWait(*inbound_, view);
  EXPECT_EQ(other.Ask("c"), "");
  EXPECT_TRUE(InboundCloses("bundle_changed"));
  ASSERT_TRUE(web.Send("d"));
  EXPECT_EQ(web.Read(1), "d");
}

TEST_F(WorkerPair, RotationLeavesRunningStreamsAlone) {
  StartBoth();
  Caller caller = Call();
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(caller.Send("x"));
    ASSERT_EQ(caller.Read(1), "x");
    web_ = Identity(kWeb);
    api_ = Identity(kApi);
    PublishAndWait(*outbound_, OutboundView({kApi}));
    PublishAndWait(*inbound_, InboundView({kWeb}));
    Caller fresh = Call();
    ASSERT_TRUE(fresh.Send("y"));
    ASSERT_EQ(fresh.Read(1), "y");
  }
  EXPECT_EQ(inbound_->Counters().accepted_inbound, 6u);
}

TEST_F(WorkerPair, AnExpiredSvidIsKeptAndCountedOrClosed) {
  MeshView keeping = InboundView({kWeb});
  keeping.on_svid_expiry = OnSvidExpiry::kKeep;
  StartInbound(keeping);
  std::unique_ptr<ForeignTlsClient> connected;
  for (const int seconds : {2, 8, 16}) {  // a busy machine may come late for the first
    const FakeLeaf brief = intermediate_.Leaf(kWeb, {.not_after = absl::Now() + absl::Seconds(seconds)});
    connected = std::make_unique<ForeignTlsClient>(InboundAddress(), &brief);
    if (connected->Ask("a") == "a") break;
    connected.reset();
  }
  ASSERT_NE(connected, nullptr);
  ForeignTlsClient& client = *connected;
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().svid_expired_kept == 1; }));
  EXPECT_EQ(client.Ask("b"), "b");
  MeshView view = InboundView({kWeb});
  view.on_svid_expiry = OnSvidExpiry::kClose;
  PublishAndWait(*inbound_, view);
  EXPECT_TRUE(InboundCloses("svid_expired_while_open"));
  EXPECT_EQ(client.Ask("c"), "");
}

}  // namespace
}  // namespace lanyard
