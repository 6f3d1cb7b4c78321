#include "proxy/connection/outbound.h"

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>

#include "proxy/connection/connection_testing.h"

namespace lanyard {
namespace {

class OutboundTest : public ConnectionTest {
 protected:
  uint64_t Closed(CloseReason reason) const { return Closes(Flow::kOutbound, reason); }
};

TEST_F(OutboundTest, NoByteLeavesBeforeThePeerIsWhoItShouldBe) {
  View(OutboundView(RouteAction::kMutualTls));
  CallOut();
  ASSERT_TRUE(Write(caller_.get(), "secret"));
  auto peer = AnswerTls(api_);
  StreamReader reader(peer.get());
  ASSERT_TRUE(TurnUntil([&] {
    peer->Open();
    reader.Drain();
    return reader.bytes() == "secret";
  }));
  EXPECT_EQ(Only().peer_id, kApiId);
  EXPECT_EQ(Only().rule, "to-api");
  EXPECT_EQ(dialer_.dialled.front().ToString(), "10.0.0.2:8080");
}

TEST_F(OutboundTest, APeerWithAnotherIdGetsNothing) {
  View(OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/other"}));
  CallOut();
  ASSERT_TRUE(Write(caller_.get(), "secret"));
  auto peer = AnswerTls(api_);
  StreamReader reader(peer.get());
  ASSERT_TRUE(TurnUntil([&] { return peer->Open().status == IoStatus::kError; }));
  EXPECT_EQ(Closed(CloseReason::kPeerNotExpected), 1u);
  EXPECT_EQ(counters_.bytes_to_mesh.value(), 0u);
  StreamReader app(caller_.get());
  ASSERT_TRUE(TurnUntil([&] { return app.Drain(); }));
  EXPECT_EQ(caller_->error(), StreamError::kReset) << "the application sees an error, not an end";
}

// As Go's HTTP server is: whoever offers only protocols that it does not know is refused (RFC 7301 section 3.2).
std::unique_ptr<TlsStream> AnswerStrictly(std::unique_ptr<Stream> lower, const TlsContext& context, BufferPool* pool) {
  bssl::UniquePtr<SSL> ssl = context.NewServer();
  SSL_CTX_set_alpn_select_cb(
      SSL_get_SSL_CTX(ssl.get()),
      [](SSL*, const uint8_t**, uint8_t*, const uint8_t*, unsigned, void*) { return SSL_TLSEXT_ERR_ALERT_FATAL; },
      nullptr);
  return std::make_unique<TlsStream>(std::move(lower), std::move(ssl), pool);
}

TEST_F(OutboundTest, APeerThatKnowsNoneOfOurProtocolsIsOfferedNoneTheNextTime) {
  const std::shared_ptr<const TlsContext> strict =
      Context(TestIdentities::Get().api, TestIdentities::Get().root.Bundles());
  speaks_mesh_ = true;
  web_ = Context(TestIdentities::Get().web, TestIdentities::Get().root.Bundles());
  View(OutboundView(RouteAction::kMutualTls));
  for (const size_t dials : {2, 3}) {
    CallOut();
    ASSERT_TRUE(Write(caller_.get(), "secret"));
    if (dials == 2) {
      auto refusing = AnswerStrictly(std::move(dialer_.answerers.back()), *strict, &pool_);
      ASSERT_TRUE(TurnUntil([&] { return refusing->Open().status == IoStatus::kError; }));
      ASSERT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == 2; }));
    }
    ASSERT_EQ(dialer_.dialled.size(), dials);
    EXPECT_EQ(dialer_.dialled.back().ToString(), "10.0.0.2:8080");
    auto peer = AnswerStrictly(std::move(dialer_.answerers.back()), *strict, &pool_);
    StreamReader reader(peer.get());
    ASSERT_TRUE(TurnUntil([&] {
      peer->Open();
      reader.Drain();
      return reader.bytes() == "secret";
    }));
    table_.CloseAll();
  }
}

TEST_F(OutboundTest, ARefusedRouteAndALoopAreNotDialled) {
  View(OutboundView(RouteAction::kRefuse));
  CallOut();
  EXPECT_EQ(Closed(CloseReason::kRouteRefused), 1u);
  View(OutboundView(RouteAction::kPassThrough));
  loop_detail_ = "it is a circle";
  CallOut();
  EXPECT_EQ(Closed(CloseReason::kLoopDetected), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(OutboundTest, WithAWithdrawnIdentityNothingIsBegunAndWhatIsOpenGoesOn) {
  View(OutboundView(RouteAction::kMutualTls));
  CallOut();
  auto peer = AnswerTls(api_);
  StreamReader reader(peer.get());
  ASSERT_TRUE(TurnUntil([&] {
    peer->Open();
    return Only().state == "relaying";
  }));
  auto open = std::move(caller_);
  const auto withdrawn = [this](RouteAction action) {
    auto view = OutboundView(action);
    view->identity_withdrawn = true;
    return view;
  };
  View(withdrawn(RouteAction::kMutualTls));
  CallOut();
  EXPECT_EQ(Closed(CloseReason::kIdentityWithdrawn), 1u);
  EXPECT_EQ(dialer_.dialled.size(), 1u);
  ASSERT_TRUE(Write(open.get(), "on"));
  ASSERT_TRUE(TurnUntil([&] {
    peer->Open();
    reader.Drain();
    return reader.bytes() == "on";
  }));
  View(OutboundView(RouteAction::kMutualTls));
  CallOut();
  EXPECT_EQ(dialer_.dialled.size(), 2u) << "given again, it is shown again";
  View(withdrawn(RouteAction::kPassThrough));
  CallOut();
  EXPECT_EQ(dialer_.dialled.size(), 3u) << "what shows no identity is not concerned";
  EXPECT_EQ(Closed(CloseReason::kIdentityWithdrawn), 1u);
}

TEST_F(OutboundTest, PassThroughMovesPlainBytes) {
  View(OutboundView(RouteAction::kPassThrough));
  CallOut();
  ASSERT_TRUE(Write(caller_.get(), "plain"));
  StreamReader reader(dialer_.answerers.back().get());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "plain";
  }));
  EXPECT_EQ(Only().tls, "");
}

TEST_F(OutboundTest, ADialThatHangsEndsAtConnectTimeout) {
  View(OutboundView(RouteAction::kMutualTls));
  dialer_.next_faults.stall_open = true;
  CallOut();
  EXPECT_EQ(Only().state, "connecting");
  EXPECT_EQ(TimeUntilClosed(), context_.limits.connect_timeout);
  EXPECT_EQ(Closed(CloseReason::kConnectTimeout), 1u);
}

TEST_F(OutboundTest, AHandshakeThatHangsEndsAtHandshakeTimeout) {
  View(OutboundView(RouteAction::kMutualTls));
  CallOut();
  EXPECT_EQ(Only().state, "handshaking");
  EXPECT_EQ(counters_.handshakes_in_flight.value(), 1u);
  EXPECT_EQ(TimeUntilClosed(), context_.limits.handshake_timeout);
  EXPECT_EQ(Closed(CloseReason::kHandshakeTimeout), 1u);
  EXPECT_EQ(counters_.handshakes_in_flight.value(), 0u);
}

TEST_F(OutboundTest, EachFailureToConnectHasItsOwnReason) {
  View(OutboundView(RouteAction::kMutualTls));
  const std::pair<StreamError, CloseReason> cases[] = {
      {StreamError::kRefused, CloseReason::kConnectRefused},
      {StreamError::kTimedOut, CloseReason::kConnectTimeout},
      {StreamError::kUnreachable, CloseReason::kConnectUnreachable},
      {StreamError::kNoDescriptors, CloseReason::kLimitDescriptors},
      {StreamError::kOther, CloseReason::kConnectFailed}};
  for (const auto& [error, reason] : cases) {
    dialer_.next_faults.fail_open = error;
    CallOut();
    EXPECT_EQ(Closed(reason), 1u) << CloseReasonName(reason);
  }
}

TEST_F(OutboundTest, APeerThatIsNoTlsServerFailsTheHandshake) {
  View(OutboundView(RouteAction::kMutualTls));
  CallOut();
  ASSERT_TRUE(Write(dialer_.answerers.back().get(), "220 mail ready\r\n"));
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closed(CloseReason::kHandshakeFailed), 1u);
}

TEST_F(OutboundTest, APeerThatRefusesUsSaysSoByAnAlert) {
  const FakeCa foreign = FakeCa::Root("foreign.example");
  BundleSet both = TestIdentities::Get().root.Bundles();
  both.Set(foreign.Bundle());
  auto view = OutboundView(RouteAction::kMutualTls, {"spiffe://foreign.example/api"});
  view->tls = Context(TestIdentities::Get().web, both);
  View(view);
  CallOut();
  auto peer = AnswerTls(Context(foreign.Leaf("spiffe://foreign.example/api"), foreign.Bundles()));  // knows us not
  ASSERT_TRUE(TurnUntil([&] {
    peer->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Closed(CloseReason::kPeerRefused), 1u);
}

TEST_F(OutboundTest, ARouteThatChangesUnderADialClosesIt) {
  View(OutboundView(RouteAction::kMutualTls));
  dialer_.next_faults.stall_open = true;
  CallOut();
  View(OutboundView(RouteAction::kMutualTls));
  EXPECT_EQ(table_.size(), 1u);
  View(OutboundView(RouteAction::kRefuse));
  EXPECT_EQ(Closed(CloseReason::kPolicyChanged), 1u);
}

TEST_F(OutboundTest, HandshakesInFlightAreLimited) {
  context_.limits.max_handshakes = 1;
  View(OutboundView(RouteAction::kMutualTls));
  counters_.handshakes_in_flight.Add();  // another destination's
  CallOut();
  EXPECT_EQ(Closed(CloseReason::kLimitHandshakes), 1u);
  EXPECT_EQ(TimesReached(Limit::kHandshakes), 1u);
  counters_.handshakes_in_flight.Subtract();
}

// Of calls to one destination, as many dial at a time as `max_handshakes` of 16 allows: one.
class OutboundTurnTest : public OutboundTest {
 protected:
  OutboundTurnTest() {
    context_.limits.max_handshakes = 16;
    View(OutboundView(RouteAction::kMutualTls));
  }
  // `count` calls, of which the first dials.
  void CallOutTogether(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      CallOut();
      callers_.push_back(std::move(caller_));
    }
    loop_->RunOnce(absl::ZeroDuration());
    EXPECT_EQ(dialer_.dialled.size(), 1u);
    EXPECT_EQ(table_.size(), count);
  }
  std::vector<std::unique_ptr<FakeStream>> callers_;
};

TEST_F(OutboundTurnTest, TheNextDialsWhenAHandshakeIsOver) {
  CallOutTogether(3);
  std::vector<std::unique_ptr<TlsStream>> peers;
  for (size_t number = 0; number < 3; ++number) {
    ASSERT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == number + 1; }));
    ASSERT_TRUE(Write(callers_[number].get(), "call " + std::to_string(number)));
    peers.push_back(AnswerTls(api_));
    StreamReader reader(peers.back().get());
    ASSERT_TRUE(TurnUntil([&] {
      peers.back()->Open();
      reader.Drain();
      return reader.bytes() == "call " + std::to_string(number);
    }));
  }
  EXPECT_EQ(Closed(CloseReason::kLimitHandshakes), 0u);
  EXPECT_EQ(table_.size(), 3u);
}

TEST_F(OutboundTurnTest, TheNextDialsWhenOneFails) {
  CallOutTogether(3);
  dialer_.answerers.back().reset();
  ASSERT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == 2; }));
  EXPECT_EQ(table_.size(), 2u);
}

TEST_F(OutboundTurnTest, WhoseTurnDoesNotComeIsToldSoInTime) {
  dialer_.next_faults.stall_open = true;
  CallOutTogether(20);
  EXPECT_EQ(TimeUntilClosed(), context_.limits.connect_timeout + context_.limits.handshake_timeout);
  EXPECT_EQ(Closed(CloseReason::kConnectTimeout), 20u);
  EXPECT_EQ(dialer_.dialled.size(), 3u) << "one after the other, as long as anybody waited";
}

TEST_F(OutboundTurnTest, ARouteThatChangesReachesThoseWhoWait) {
  CallOutTogether(3);
  View(OutboundView(RouteAction::kRefuse));
  EXPECT_EQ(Closed(CloseReason::kPolicyChanged), 3u);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(dialer_.dialled.size(), 1u);
}

TEST_F(OutboundTurnTest, WhatIsWithdrawnMeanwhileIsNotShown) {
  CallOutTogether(2);
  auto view = OutboundView(RouteAction::kMutualTls);
  view->identity_withdrawn = true;
  View(view);
  dialer_.answerers.back().reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(dialer_.dialled.size(), 1u);
  EXPECT_GE(Closed(CloseReason::kIdentityWithdrawn), 1u);
}

TEST_F(OutboundTest, AHeaderBeforeTheCallIsTheCallersAddressAndNoByteOfIt) {
  outbound_.accepted_header = {{AddressBlock::Parse("10.0.0.1").value()}, absl::Seconds(3)};
  View(OutboundView(RouteAction::kPassThrough));
  CallOut();
  View(OutboundView(RouteAction::kPassThrough, {"spiffe://example.org/another"}));
  EXPECT_EQ(Only().state, "reading_header") << "a change of the view meanwhile is no reason to end it";
  EXPECT_TRUE(dialer_.dialled.empty());
  ASSERT_TRUE(Write(caller_.get(), "PROXY TCP6 2001:db8::1 2001:db8::2 4321 80\r\nplain"));
  ASSERT_TRUE(TurnUntil([&] { return !dialer_.dialled.empty(); }));
  EXPECT_EQ(Only().source, "[2001:db8::1]:4321");
  StreamReader reader(dialer_.answerers.back().get());
  EXPECT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "plain";
  }));
}

}  // namespace
}  // namespace lanyard
