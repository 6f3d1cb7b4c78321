#include "proxy/connection/accepted_links.h"

#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

class AcceptedLinksTest : public MeshTest {
 protected:
  uint64_t HandshakesThere() const {
    return server_counters_.handshakes_full.value() + server_counters_.handshakes_resumed.value();
  }
  // The far end of a new link, which says nothing by itself; `lower`: api's end of its connection.
  std::unique_ptr<TlsStream> LinkOf(const std::shared_ptr<const TlsContext>& peer, FakeStream** lower = nullptr) {
    const uint64_t before = HandshakesThere();
    Arrival arrival = Arrive(inbound_);
    if (lower != nullptr) *lower = static_cast<FakeStream*>(arrival.stream.get());
    InboundConnection::Start(&server_, std::move(arrival));
    std::unique_ptr<TlsStream> far = CallTls(peer);
    EXPECT_TRUE(TurnUntil([&] { return far->Open().status == IoStatus::kOk && HandshakesThere() > before; }));
    return far;
  }
};

TEST_F(AcceptedLinksTest, EachStreamIsDecidedByItselfAndTheWorkloadIsNotDialledBefore) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  ApiView(InboundView("spiffe://example.org/other"));
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(server_counters_.closes[0][static_cast<size_t>(CloseReason::kDeniedByPolicy)].value(), 1u);
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kPeerRefused), 1u);
  EXPECT_EQ(dialer_.dialled.size(), 1u);
}

TEST_F(AcceptedLinksTest, TheDestinationIsWhatWasDialledWhateverOpenSays) {
  BothViews();
  Call();
  EXPECT_EQ(Served().application_target, "10.0.0.2:8080");
  EXPECT_EQ(Served().application_source, "10.0.0.1:40000");
  EXPECT_EQ(Served().source, "10.0.0.1:41000");
  EXPECT_EQ(Served().protocol, "lanyard/1");
  EXPECT_EQ(Served().protocol, kLinkAlpn) << "the name that is offered is the one that links go by";
  EXPECT_EQ(dialer_.dialled.back().ToString(), "10.0.0.2:8080");
}

TEST_F(AcceptedLinksTest, AtTheLimitOfConnectionsAStreamIsRefused) {
  BothViews();
  Call();
  ASSERT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() == 1 && server_table_.size() == 1; }));
  server_.limits.max_connections = 1;
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  EXPECT_GE(server_counters_.limits_reached[static_cast<size_t>(Limit::kConnections)].value(), 1u);
}

TEST_F(AcceptedLinksTest, SilentCallersDoNotShutOutStandingLinks) {
  BothViews();
  const size_t done = Call();
  Call();
  ASSERT_TRUE(Finish(done));
  ASSERT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() > 0 && server_table_.size() == 1; }));
  reachable_ = false;  // from here on there are the links that stand
  server_.limits.max_connections = 4;
  std::vector<std::unique_ptr<FakeStream>> silent;
  for (int i = 0; i < 3; ++i) {
    InboundConnection::Start(&server_, Arrive(inbound_));
    silent.push_back(std::move(caller_));
  }
  EXPECT_EQ(server_table_.size(), 4u);
  CallOut();
  callers_.push_back(std::move(caller_));
  EXPECT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == 3; })) << "a peer that is known has their room";
  EXPECT_EQ(server_table_.size(), 4u);
  EXPECT_EQ(server_counters_.closes[0][static_cast<size_t>(CloseReason::kLimitUnauthenticated)].value(), 1u);
  EXPECT_EQ(server_counters_.limits_reached[static_cast<size_t>(Limit::kConnections)].value(), 1u);
}

TEST_F(AcceptedLinksTest, AStreamBeyondThePeersShareIsRefusedAndItsLinkLivesOn) {
  InboundPlaces one(1, 0);
  server_.places = &one;
  BothViews();
  Call();
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  const size_t limit = static_cast<size_t>(Limit::kConnectionsPerPeer);
  EXPECT_EQ(server_counters_.limits_reached[limit].value(), 1u);
  EXPECT_EQ(counters_.closes[1][static_cast<size_t>(CloseReason::kPeerRefused)].value(), 1u);
  ASSERT_TRUE(Finish(0));
  loop_->RunOnce(absl::ZeroDuration());
  CallOut();
  callers_.push_back(std::move(caller_));
  EXPECT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == 2; }));
  callers_.clear();
  server_table_.CloseAll();
  loop_->RunOnce(absl::ZeroDuration());
  server_.places = &places_;
}

TEST_F(AcceptedLinksTest, ABanClosesItsLinksAndStreamsAtOnce) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  Call();
  auto view = InboundView();
  view->bans = BanSet({Ban{BanSubject::Parse(kWebId).value(), "", absl::UnixEpoch()}});
  ApiView(view);
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0 && server_table_.size() == 0; }));
  EXPECT_EQ(server_counters_.closes[0][static_cast<size_t>(CloseReason::kBanned)].value(), 1u);
  EXPECT_TRUE(TurnUntil([&] { return server_accepted_.size() == 0; }));
}

TEST_F(AcceptedLinksTest, ALinkThatItsPeerBreaksIsClosedAndCounted) {
  BothViews();
  const std::unique_ptr<TlsStream> peer = LinkOf(web_);
  ASSERT_TRUE(Write(peer.get(), std::string("\x63\x00\x00\x00", 4)));  // no such frame
  EXPECT_TRUE(TurnUntil([&] { return server_counters_.links_broken.value() == 1; }));
  EXPECT_EQ(server_accepted_.size(), 0u);
}

TEST_F(AcceptedLinksTest, UnderAWithdrawnIdentityNoStreamBeginsAndOpenOnesGoOn) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  const size_t open = Call();
  const auto withdrawn = InboundView();
  withdrawn->identity_withdrawn = true;
  ApiView(withdrawn);
  EXPECT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() == 0; })) << "GOAWAY";
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  EXPECT_GE(server_counters_.closes[0][static_cast<size_t>(CloseReason::kIdentityWithdrawn)].value(), 1u);
  EXPECT_TRUE(Echoes(open));
  ApiView(InboundView());
  Pass(absl::Seconds(2));
  EXPECT_TRUE(Echoes(Call())) << "given again";
}

TEST_F(AcceptedLinksTest, AnOpenThatCrossesAWithdrawalIsRefused) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  ASSERT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() > 0; }));
  CallOut();
  const auto withdrawn = InboundView();
  withdrawn->identity_withdrawn = true;
  ApiView(withdrawn);
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kPeerRefused), 1u);
  EXPECT_GE(server_counters_.closes[0][static_cast<size_t>(CloseReason::kIdentityWithdrawn)].value(), 1u);
}

TEST_F(AcceptedLinksTest, AnIdleLinkEndsWithItsSvid) {
  web_ = Fresh(kWebId, absl::Seconds(20));
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  Pass(absl::Seconds(22));
  EXPECT_EQ(server_accepted_.size(), 0u);
  EXPECT_EQ(counters_.idle_links_opened.value(), 0u);
}

TEST_F(AcceptedLinksTest, AtItsLimitTheLinkThatHasWaitedLongestGoes) {
  BothViews();
  std::vector<size_t> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Call());
  const size_t waiting = std::max<size_t>(server_accepted_.size(), 2);
  server_.limits.max_idle_links = 2;
  for (const size_t call : calls) ASSERT_TRUE(Finish(call));
  EXPECT_TRUE(TurnUntil([&] { return server_accepted_.size() <= waiting; })) << "its opener is asked to close it";
  EXPECT_GT(server_counters_.limit_idle_links.value(), 0u);
  EXPECT_TRUE(Echoes(Call())) << "and the others are served";
}

TEST_F(AcceptedLinksTest, AnotherPeersLinksAreNotTheOnesToGo) {
  BothViews();
  server_.limits.max_idle_links = 3;
  const auto greedy = Fresh("spiffe://example.org/greedy");
  const std::unique_ptr<TlsStream> honest = LinkOf(web_);
  std::vector<std::unique_ptr<TlsStream>> many;
  for (int i = 0; i < 5; ++i) many.push_back(LinkOf(greedy));
  EXPECT_EQ(server_accepted_.size(), 6u);
  EXPECT_EQ(server_counters_.limit_idle_links.value(), 3u);
  StreamReader first(many.front().get()), last(many.back().get()), spared(honest.get());
  EXPECT_TRUE(TurnUntil([&] {
    first.Drain();
    return first.bytes() == EncodeGoAway(GoAwayReason::kRotated);
  }));
  Pass(AcceptedLinks::kRoomGrace + absl::Seconds(2));
  EXPECT_TRUE(first.Drain());
  EXPECT_EQ(first.last(), IoStatus::kEnd) << "in good order";
  for (StreamReader* kept : {&last, &spared}) {
    EXPECT_FALSE(kept->Drain());
    EXPECT_EQ(kept->bytes(), "");
  }
  for (int i = 0; i < 20; ++i) many.push_back(LinkOf(greedy));
  EXPECT_LE(server_accepted_.size(), 6u) << "those that leave are bounded too";
  ASSERT_TRUE(Write(honest.get(), EncodeOpen({StreamToken{}, "10.0.0.2:8080", ""})));
  EXPECT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == 1; })) << "and its OPEN is served";
}

TEST_F(AcceptedLinksTest, ARetiringLinkWithBytesToSendStays) {
  BothViews();
  FakeStream* slow = nullptr;
  const std::unique_ptr<TlsStream> peer = LinkOf(web_, &slow);
  slow->faults().stall_writes = true;
  Pass(2 * server_.limits.idle_link_timeout + absl::Seconds(2));
  ASSERT_EQ(server_counters_.links_retired.value(), 1u);
  const auto withdrawn = InboundView();
  withdrawn->identity_withdrawn = true;
  ApiView(withdrawn);  // GOAWAY would be said behind its last word
  ASSERT_EQ(server_accepted_.size(), 1u);
  ApiView(InboundView());
  server_.limits.max_idle_links = 1;
  std::vector<std::unique_ptr<TlsStream>> others;
  for (int i = 0; i < 4; ++i) others.push_back(LinkOf(web_));
  EXPECT_EQ(server_accepted_.size(), 2u) << "it, and the newest";
  EXPECT_EQ(server_counters_.limit_links_leaving.value(), 3u);
  slow->faults().stall_writes = false;
  slow->Wake();
  StreamReader reader(peer.get());
  EXPECT_TRUE(TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kEnd) << "its last word comes after all";
}

TEST_F(AcceptedLinksTest, WhileTheClockIsBehindBothSvidsNothingIsTaken) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  clock_.JumpTo(clock_.Now() - absl::Hours(1));
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kSvidNotYetValid) +
                Closes(Flow::kOutbound, CloseReason::kPeerRefused),
            1u);
}

TEST_F(AcceptedLinksTest, ADrainSendsEverybodyAwayAndOpenStreamsGoOn) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  const size_t call = Call();
  server_accepted_.Drain();
  server_table_.AskToMove();
  reachable_ = false;
  EXPECT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() == 0; }));
  Pass(absl::Seconds(5));
  EXPECT_TRUE(Echoes(call));
}

TEST_F(AcceptedLinksTest, AnOpenThatCrossesGoAwayIsStillAnswered) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  ASSERT_TRUE(TurnUntil([&] { return counters_.idle_links_opened.value() > 0; }));
  const uint64_t hits = counters_.pool_hits.value();
  reachable_ = false;
  server_accepted_.Drain();
  EXPECT_TRUE(Echoes(Call()));
  EXPECT_EQ(counters_.pool_hits.value(), hits + 1);
  EXPECT_TRUE(Finish(1));
  EXPECT_TRUE(TurnUntil([&] { return server_accepted_.size() == 0 && links_.empty(); })) << "then the link is closed";
}

TEST_F(AcceptedLinksTest, WhoseHandshakeEndsDuringADrainIsServedOnceAndSentAway) {
  BothViews();
  server_accepted_.Drain();
  EXPECT_TRUE(Echoes(Call()));
  EXPECT_TRUE(Finish(0));
  reachable_ = false;
  EXPECT_TRUE(TurnUntil([&] { return server_accepted_.size() == 0 && links_.empty(); }));
}

}  // namespace
}  // namespace lanyard
