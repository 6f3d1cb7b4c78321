#include "proxy/connection/reauthentication.h"

#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

class ReauthenticationTest : public MeshTest {
 protected:
  void RotateWeb(absl::Duration lifetime) {
    web_ = Fresh(kWebId, lifetime);
    WebView(OutboundView(RouteAction::kMutualTls));
  }
  void RotateApi(absl::Duration lifetime) {
    api_ = Fresh(kApiId, lifetime);
    ApiView(InboundView());
  }
  bool ShowsOurSerials() {
    return Only().local_serial == web_->svid()->leaf().serial() &&
           Only().peer_serial == api_->svid()->leaf().serial() &&
           Served().local_serial == Only().peer_serial && Served().peer_serial == Only().local_serial;
  }
};

TEST_F(ReauthenticationTest, AStreamOutlivesManySvidsOfBothSidesAndItsBytesDoToo) {
  constexpr absl::Duration kLifetime = absl::Seconds(30);
  web_ = Fresh(kWebId, kLifetime);
  api_ = Fresh(kApiId, kLifetime);
  BothViews();
  const size_t call = Call();
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(Echoes(call)) << round;
    Pass(absl::Seconds(7));
    RotateWeb(kLifetime);
    ASSERT_TRUE(Echoes(call)) << round;
    Pass(absl::Seconds(8));
    ASSERT_EQ(table_.size(), 1u) << round;
    EXPECT_TRUE(ShowsOurSerials()) << round;
    RotateApi(kLifetime);
  }
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kOwnRotation), 20u);
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kPeerAsked), 19u);
  EXPECT_EQ(Only().bytes_sent, 40 * 8u);
  ASSERT_TRUE(Finish(call));
}

// Whoever of the two it was withdrawn from.
TEST_F(ReauthenticationTest, UnderAWithdrawnIdentityAStreamEndsWithItsSvid) {
  for (const bool ours : {true, false}) {
    web_ = Fresh(kWebId, absl::Seconds(30));
    api_ = Fresh(kApiId, absl::Seconds(30));
    BothViews();
    const size_t call = Call();
    auto view = ours ? OutboundView(RouteAction::kMutualTls) : InboundView();
    view->identity_withdrawn = true;
    ours ? WebView(view) : ApiView(view);
    Pass(absl::Seconds(28));
    EXPECT_TRUE(Echoes(call)) << ours;
    Pass(absl::Seconds(3));
    EXPECT_EQ(table_.size(), 0u) << ours;
    EXPECT_EQ(server_table_.size(), 0u) << ours;
  }
  EXPECT_GE(Closes(Flow::kOutbound, CloseReason::kReauthenticationFailed) +
                server_counters_.closes[0][static_cast<size_t>(CloseReason::kReauthenticationFailed)].value(),
            2u)
      << "each by its own clock, or as the other says";
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kExpiryNear), 0u);
}

TEST_F(ReauthenticationTest, AHalfClosedStreamIsCarriedOver) {
  BothViews();
  const size_t call = Call();
  callers_[call]->ShutdownWrite();
  StreamReader reader(dialer_.answerers[call].get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kEnd);
  RotateWeb(absl::Hours(2));
  Pass(absl::Minutes(20));
  EXPECT_TRUE(ShowsOurSerials());
  EXPECT_TRUE(Arrives(dialer_.answerers[call].get(), callers_[call].get(), "the rest"));
}

// Its application reads nothing for many lifetimes, and then all of it.
TEST_F(ReauthenticationTest, AStreamThatIsNotReadIsAuthenticatedAnewWhereItIsAndMovesLater) {
  constexpr absl::Duration kLifetime = absl::Seconds(30);
  web_ = Fresh(kWebId, kLifetime);
  api_ = Fresh(kApiId, kLifetime);
  BothViews();
  const size_t call = Call();
  ASSERT_TRUE(Echoes(call));
  const std::string text = TestBytes(2 << 20, 1);
  StreamWriter writer(callers_[call].get(), text);
  for (int round = 0; round < 8; ++round) {
    EXPECT_FALSE(writer.Push()) << "it does not fit in between";
    Pass(absl::Seconds(7));
    RotateWeb(kLifetime);
    Pass(absl::Seconds(8));
    RotateApi(kLifetime);
    ASSERT_EQ(table_.size(), 1u) << round;
    ASSERT_EQ(server_table_.List().size(), server_table_.size());
    EXPECT_GT(Only().peer_not_after, clock_.Now());
    EXPECT_GT(Served().peer_not_after, clock_.Now());
  }
  EXPECT_GT(counters_.carry_overs_put_off.value(), 0u);
  StreamReader reader(dialer_.answerers[call].get());
  ASSERT_TRUE(TurnUntil([&] {
    writer.Push();
    reader.Drain();
    return reader.bytes().size() == text.size();
  }));
  EXPECT_TRUE(reader.bytes() == text);
  const uint64_t put_off = counters_.carry_overs_put_off.value();
  RotateWeb(absl::Hours(1));
  RotateApi(absl::Hours(1));
  Pass(absl::Seconds(60));
  EXPECT_EQ(counters_.carry_overs_put_off.value(), put_off);
  EXPECT_TRUE(ShowsOurSerials());
  EXPECT_TRUE(Echoes(call));
  ASSERT_TRUE(Finish(call));
}

TEST_F(ReauthenticationTest, WhatVouchesForAStreamIsWhatABundleIsAskedAbout) {
  web_ = Fresh(kWebId, absl::Seconds(30));
  api_ = Fresh(kApiId, absl::Seconds(30));
  BothViews();
  const size_t call = Call();
  StreamWriter writer(callers_[call].get(), TestBytes(2 << 20, 1));
  writer.Push();
  Pass(absl::Seconds(5));
  RotateWeb(absl::Hours(1));
  RotateApi(absl::Hours(1));
  Pass(absl::Seconds(40));
  ASSERT_EQ(table_.size(), 1u) << "the SVIDs of the link in use have expired";
  // The same authorities and one more: everybody is asked again.
  BundleSet more = TestIdentities::Get().root.Bundles();
  const FakeCa other = FakeCa::Root("other.org");
  more.Set(other.Bundle());
  auto view = OutboundView(RouteAction::kMutualTls);
  view->tls = Context(TestIdentities::Get().root.Leaf(kWebId), more);
  WebView(view);
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kBundleChanged), 0u);
}

TEST_F(ReauthenticationTest, WithoutANewSvidItIsClosedAtTheExpiryWithItsOwnReason) {
  web_ = Fresh(kWebId, absl::Seconds(30));
  BothViews();
  const absl::Time expiry = web_->svid()->not_after();
  Call();
  Pass(absl::Seconds(25));
  EXPECT_EQ(table_.size(), 1u);
  Pass(absl::Seconds(6));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_GE(clock_.Now(), expiry);
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kReauthenticationFailed) +
                server_counters_.closes[0][static_cast<size_t>(CloseReason::kReauthenticationFailed)].value(),
            2u)
      << "each by its own clock";
}

TEST_F(ReauthenticationTest, AnAttemptThatFailsIsRepeatedUntilItSucceeds) {
  web_ = Fresh(kWebId, absl::Seconds(40));
  BothViews();
  const size_t call = Call();
  reachable_ = false;
  RotateWeb(absl::Hours(1));
  Pass(absl::Seconds(20));
  EXPECT_GE(counters_.reauthentication_failures[static_cast<size_t>(ReauthenticationCause::kOwnRotation)].value(), 2u);
  EXPECT_TRUE(Echoes(call));
  reachable_ = true;
  Pass(absl::Seconds(15));
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kOwnRotation), 1u);
  EXPECT_TRUE(ShowsOurSerials());
}

TEST_F(ReauthenticationTest, AStreamThatEndsWhileALinkIsMadeForItLeavesTheLinkToThePool) {
  BothViews();
  const size_t call = Call();
  Pass(absl::Seconds(3));
  RotateWeb(absl::Hours(2));
  while (counters_.handshakes_in_flight.value() == 0) {
    clock_.Advance(absl::Seconds(1));
    loop_->RunOnce(absl::ZeroDuration());
  }
  const size_t idle = counters_.idle_links_opened.value();
  callers_[call]->Reset();
  ASSERT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() > idle; }));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(server_counters_.closes[static_cast<size_t>(Flow::kInbound)]
                                   [static_cast<size_t>(CloseReason::kHandshakeFailed)].value(), 0u);
}

// Whoever takes over there may just begin: an eighth of an hour would be late.
TEST_F(ReauthenticationTest, WhileThePeerDrainsItIsTriedSoonAgain) {
  BothViews();
  const size_t call = Call();
  ASSERT_TRUE(Echoes(call));
  reachable_ = false;
  server_table_.AskToMove();
  Pass(absl::Seconds(12));
  const size_t asked = static_cast<size_t>(ReauthenticationCause::kPeerAsked);
  EXPECT_GE(counters_.reauthentication_failures[asked].value(), 3u);
  EXPECT_LE(counters_.reauthentication_failures[asked].value(), 6u) << "each pause is twice the last";
  reachable_ = true;
  Pass(absl::Seconds(25));
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kPeerAsked), 1u);
  EXPECT_TRUE(Echoes(call));
}

// The new link leads to the same process, which says so before there is a stream on it.
TEST_F(ReauthenticationTest, APeerThatDrainsAtTheNewLinkTooIsLeftOnceMore) {
  BothViews();
  const size_t call = Call();
  ASSERT_TRUE(Echoes(call));
  server_accepted_.Drain();
  server_table_.AskToMove();
  Pass(absl::Seconds(5));
  EXPECT_GE(Reauthentications(ReauthenticationCause::kPeerAsked), 3u);
  EXPECT_LE(Reauthentications(ReauthenticationCause::kPeerAsked), 7u) << "about once a second";
  EXPECT_TRUE(Echoes(call));
}

// It has asked for its SVID's sake, which may wait; that its process ends may not.
TEST_F(ReauthenticationTest, APeerThatWasRotatedAndThenDrainsIsTriedSoonAgain) {
  BothViews();
  const size_t call = Call();
  ASSERT_TRUE(Echoes(call));
  reachable_ = false;
  RotateApi(absl::Hours(2));
  const size_t asked = static_cast<size_t>(ReauthenticationCause::kPeerAsked);
  for (int minute = 0; minute < 60 && counters_.reauthentication_failures[asked].value() == 0; ++minute) {
    Pass(absl::Minutes(1));
  }
  ASSERT_EQ(counters_.reauthentication_failures[asked].value(), 1u);
  reachable_ = true;
  server_table_.AskToMove();
  Pass(absl::Seconds(3));
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kPeerAsked), 1u);
  EXPECT_TRUE(Echoes(call));
}

TEST_F(ReauthenticationTest, AnotherIdentityThatAnswersDoesNotGetTheStream) {
  web_ = Fresh(kWebId, absl::Seconds(40));
  auto view = OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/*"});
  WebView(view);
  ApiView(InboundView());
  Call();
  const std::string serial = Only().peer_serial;
  api_ = Fresh("spiffe://example.org/other");
  server_.view = InboundView();  // whoever answers now is another
  web_ = Fresh(kWebId);
  view = OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/*"});
  WebView(view);
  Pass(absl::Seconds(15));
  EXPECT_GT(counters_.reauthentication_failures[static_cast<size_t>(ReauthenticationCause::kOwnRotation)].value(), 0u);
  EXPECT_EQ(Only().peer_serial, serial);
}

TEST_F(ReauthenticationTest, AfterAJumpOfTheClockNothingThatHasExpiredIsCarriedOver) {
  BothViews();
  Call();
  clock_.JumpTo(clock_.Now() + absl::Hours(2));
  RotateWeb(absl::Hours(4));
  RotateApi(absl::Hours(4));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kReauthenticationFailed), 1u);
}

TEST_F(ReauthenticationTest, WhereExpiryClosesNothingIsCarriedOver) {
  web_ = Fresh(kWebId, absl::Seconds(30));
  auto view = OutboundView(RouteAction::kMutualTls);
  view->on_svid_expiry = OnSvidExpiry::kClose;
  WebView(view);
  ApiView(InboundView());
  Call();
  RotateApi(absl::Hours(1));
  view = std::make_shared<MeshView>(*view);
  view->tls = web_ = Fresh(kWebId);
  WebView(view);
  Pass(absl::Seconds(31));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kSvidExpiredWhileOpen), 1u);
}

TEST_F(ReauthenticationTest, AFarProxyThatDoesNotAnswerIsGivenUp) {
  context_.limits.handshake_timeout = absl::Seconds(2);
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  dialer_.next_faults.stall_open = true;  // the workload's proxy does not come to ACCEPT
  server_.limits.connect_timeout = absl::Hours(1);
  CallOut();
  Pass(absl::Seconds(6));
  EXPECT_EQ(table_.size(), 1u);
  Pass(absl::Seconds(2));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kHandshakeTimeout), 1u);
}

TEST_F(ReauthenticationTest, ManyStreamsDoNotShakeHandsInOneTurn) {
  BothViews();
  for (int i = 0; i < 40; ++i) Call();
  context_.limits.max_link_handshakes = 4;
  Pass(absl::Seconds(3));
  RotateWeb(absl::Hours(2));
  const absl::Duration start = clock_.Monotonic();
  while (Reauthentications(ReauthenticationCause::kOwnRotation) < 40 && clock_.Monotonic() < start + absl::Hours(1)) {
    Pass(absl::Seconds(1));
    ASSERT_LE(counters_.link_handshakes_in_flight.value(), 4u);
  }
  EXPECT_EQ(Reauthentications(ReauthenticationCause::kOwnRotation), 40u);
  EXPECT_GT(clock_.Monotonic() - start, absl::Minutes(5)) << "spread over the time that was left";
  EXPECT_EQ(table_.size(), 40u);
}

}  // namespace
}  // namespace lanyard
