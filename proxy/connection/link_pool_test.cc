#include "proxy/connection/link_pool.h"

#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

class LinkPoolTest : public MeshTest {
 protected:
  bool IdleAre(uint64_t count) {
    return TurnUntil([&] { return counters_.idle_links_opened.value() == count; });
  }
  // To a peer that says nothing after its handshake, not even close_notify.
  std::unique_ptr<Link> SilentLink() {
    auto [near, far] = FakeStream::Pair(loop_.get());
    auto client = std::make_unique<TlsStream>(std::move(near), web_->NewClient(), &pool_);
    auto server = std::make_unique<TlsStream>(std::move(far), api_->NewServer(), &pool_);
    EXPECT_TRUE(TurnUntil([&] {
      const IoStatus one = client->Open().status, two = server->Open().status;
      return one == IoStatus::kOk && two == IoStatus::kOk;
    }));
    silent_.push_back(std::move(server));
    return std::make_unique<Link>(loop_.get(), std::move(client), LinkRole::kOpener, web_);
  }
  std::vector<std::unique_ptr<TlsStream>> silent_;
};

TEST_F(LinkPoolTest, AFinishedStreamGivesItsLinkToTheNext) {
  BothViews();
  for (int round = 0; round < 10; ++round) {
    const size_t call = Call();
    EXPECT_TRUE(Echoes(call));
    ASSERT_TRUE(Finish(call));
  }
  EXPECT_LE(Handshakes(), 2u) << "one, and one ahead of need";
  EXPECT_EQ(counters_.pool_hits.value(), 9u);
  EXPECT_EQ(server_counters_.accepted[static_cast<size_t>(Flow::kInbound)].value(), 10u) << "each stream counts";
  EXPECT_EQ(server_counters_.closes[0][static_cast<size_t>(CloseReason::kNormal)].value(), 10u);
}

TEST_F(LinkPoolTest, ATakenLinkIsReplacedAheadOfNeed) {
  BothViews();
  Call();
  ASSERT_TRUE(IdleAre(1));
  EXPECT_EQ(counters_.pooled_handshakes.value(), 1u);
  const uint64_t handshakes = Handshakes();
  Call();
  EXPECT_EQ(counters_.pool_hits.value(), 1u);
  EXPECT_TRUE(TurnUntil([&] { return Handshakes() > handshakes; }));
}

TEST_F(LinkPoolTest, StreamsThatComeFromTheProcessBeforeHaveHalfOfTheHandshakes) {
  BothViews();
  Call();
  ASSERT_TRUE(IdleAre(1));
  context_.limits.max_link_handshakes = 4;
  const auto in_flight_after = [&](int calls) {
    for (int i = 0; i < calls; ++i) {
      CallOut();
      callers_.push_back(std::move(caller_));
    }
    return counters_.link_handshakes_in_flight.value();
  };
  context_.streams_come = true;
  EXPECT_EQ(in_flight_after(6), 2u);
  context_.streams_come = false;
  EXPECT_EQ(in_flight_after(1), 4u);
}

TEST_F(LinkPoolTest, IdleOnesAgeOutAndTheOpenerIsTheFirstToLetGo) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  ASSERT_TRUE(IdleAre(1) || IdleAre(2));
  Pass(context_.limits.idle_link_timeout + absl::Seconds(2));
  EXPECT_EQ(counters_.idle_links_opened.value(), 0u);
  EXPECT_EQ(server_accepted_.size(), 0u);
  EXPECT_GT(counters_.links_retired.value(), 0u);
  EXPECT_EQ(server_counters_.links_retired.value(), 0u);
}

TEST_F(LinkPoolTest, ALinkUnderAnOldIdentityIsNotUsedAgain) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  web_ = Fresh(kWebId);
  WebView(OutboundView(RouteAction::kMutualTls));
  EXPECT_EQ(counters_.idle_links_opened.value(), 0u);
  Call();
  EXPECT_EQ(Served().peer_serial, web_->svid()->leaf().serial());
}

TEST_F(LinkPoolTest, ThePeersRotationRetiresItsLinksToo) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  api_ = Fresh(kApiId);
  ApiView(InboundView());
  ASSERT_TRUE(IdleAre(0)) << "GOAWAY";
  Call();
  EXPECT_EQ(Only().peer_serial, api_->svid()->leaf().serial());
}

TEST_F(LinkPoolTest, UnderAWithdrawnIdentityNoLinkWaitsAndOpenStreamsGoOn) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  const size_t open = Call();
  const auto withdrawn = OutboundView(RouteAction::kMutualTls);
  withdrawn->identity_withdrawn = true;
  WebView(withdrawn);
  ASSERT_TRUE(IdleAre(0));
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kIdentityWithdrawn), 1u);
  EXPECT_TRUE(Echoes(open));
  ASSERT_TRUE(Finish(open));
  EXPECT_TRUE(IdleAre(0)) << "nor is its link kept";
  WebView(OutboundView(RouteAction::kMutualTls));
  EXPECT_TRUE(Echoes(Call())) << "given again";
}

TEST_F(LinkPoolTest, ABannedPeersLinkIsClosed) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  auto view = OutboundView(RouteAction::kMutualTls);
  view->bans = BanSet({Ban{BanSubject::Parse(kApiId).value(), "", absl::UnixEpoch()}});
  WebView(view);
  EXPECT_EQ(counters_.idle_links_opened.value(), 0u);
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kBanned), 1u);
}

TEST_F(LinkPoolTest, AnIdleLinkOfAPeerThatTheRouteDoesNotExpectIsNotTaken) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  const std::shared_ptr<PeerLinks> links = links_.To("10.0.0.2:8080");
  EXPECT_EQ(links->Take({PeerPattern::Parse("spiffe://example.org/other").value()}), nullptr);
  EXPECT_NE(links->Take({PeerPattern::Parse(kApiId).value()}), nullptr);
}

TEST_F(LinkPoolTest, ThePoolIsBoundedAndSaysSo) {
  context_.limits.max_idle_links = 1;
  BothViews();
  std::vector<size_t> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(Call());
  for (const size_t call : calls) ASSERT_TRUE(Finish(call));
  EXPECT_LE(counters_.idle_links_opened.value(), 1u);
  EXPECT_GT(counters_.limit_idle_links.value(), 0u);
}

TEST_F(LinkPoolTest, LinksThatRetireAreBounded) {
  context_.limits.max_idle_links = 6;
  context_.limits.max_idle_links_per_destination = 4;
  BothViews();
  const std::shared_ptr<PeerLinks> one = links_.To("10.0.0.8:1"), other = links_.To("10.0.0.9:1");
  for (int i = 0; i < 20; ++i) one->Spare(SilentLink());
  EXPECT_EQ(one->idle(), 4u);
  EXPECT_EQ(counters_.links_leaving.value(), 4u);
  EXPECT_EQ(counters_.limit_links_leaving.value(), 12u);
  for (int i = 0; i < 20; ++i) other->Spare(SilentLink());
  EXPECT_EQ(other->idle(), 2u);
  EXPECT_EQ(counters_.links_leaving.value(), 6u);
  Pass(Link::kIdleRetireDeadline + absl::Seconds(1));
  EXPECT_EQ(counters_.links_leaving.value(), 0u) << "and none waits long for close_notify";
  links_.Drain();
  Pass(Link::kIdleRetireDeadline + absl::Seconds(1));
  EXPECT_TRUE(links_.empty());
}

TEST_F(LinkPoolTest, ALinkThatHasNotSentAllIsNotTheOneToMakeRoom) {
  context_.limits.max_idle_links_per_destination = 1;
  BothViews();
  const std::shared_ptr<PeerLinks> links = links_.To("10.0.0.8:1");
  links->Spare(SilentLink());
  for (int i = 0; i < 3; ++i) {
    auto [near, far] = FakeStream::Pair(loop_.get());
    FakeStream* const lower = near.get();
    auto client = std::make_unique<TlsStream>(std::move(near), web_->NewClient(), &pool_);
    auto server = std::make_unique<TlsStream>(std::move(far), api_->NewServer(), &pool_);
    ASSERT_TRUE(TurnUntil([&] {
      const IoStatus one = client->Open().status, two = server->Open().status;
      return one == IoStatus::kOk && two == IoStatus::kOk;
    }));
    silent_.push_back(std::move(server));
    lower->faults().stall_writes = true;
    links->Spare(std::make_unique<Link>(loop_.get(), std::move(client), LinkRole::kOpener, web_));
  }
  EXPECT_EQ(counters_.links_leaving.value(), 3u);
  links->Spare(SilentLink());
  EXPECT_EQ(counters_.links_leaving.value(), 3u) << "the only one that has sent all is closed";
  EXPECT_EQ(counters_.limit_links_leaving.value(), 1u);
  context_.limits.max_connections = 2;
  context_.limits.max_idle_links = 2;
  links_.Drain();
  EXPECT_EQ(counters_.links_leaving.value(), 2u) << "nor does that go on without end";
}

TEST_F(LinkPoolTest, AfterAPauseThePeerIsAskedForASignOfLifeAndTheLinkIsUsed) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  Pass(context_.limits.link_ping_after + absl::Seconds(1));
  const uint64_t handshakes = Handshakes();
  const size_t call = Call();
  EXPECT_TRUE(Echoes(call));
  EXPECT_EQ(counters_.links_unanswered.value(), 0u);
  EXPECT_EQ(counters_.pool_hits.value(), 1u);
  EXPECT_LE(Handshakes(), handshakes + 1) << "only what is made ahead of need";
}

TEST_F(LinkPoolTest, APeerThatVanishedCostsTheNextCallThePingTimeoutAndNoMore) {
  BothViews();
  std::vector<size_t> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Call());
  for (const size_t call : calls) ASSERT_TRUE(Finish(call));
  Pass(context_.limits.link_ping_after + absl::Seconds(1));
  const uint64_t idle = counters_.idle_links_opened.value();
  ASSERT_GE(idle, 2u);
  ASSERT_EQ(idle, dialled_.size());
  // Nothing that the far proxy sends arrives on the links that there are, and it does not end them.
  for (FakeStream* stream : dialled_) stream->faults().stall_reads = true;
  const absl::Duration start = clock_.Monotonic();
  CallOut();
  ASSERT_TRUE(Write(caller_.get(), "question"));
  Pass(context_.limits.link_ping_timeout + absl::Milliseconds(100));
  ASSERT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == 4; }));
  StreamReader reader(dialer_.answerers[3].get());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "question";
  }));
  EXPECT_LT(clock_.Monotonic() - start, absl::Seconds(1));
  EXPECT_EQ(counters_.links_unanswered.value(), idle) << "the others are not tried one after the other";
  CallOut();
  EXPECT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == 5; })) << "and the next call does not wait";
}

TEST_F(LinkPoolTest, ACallerThatLeavesWhileThePeerIsAskedLeavesNothing) {
  BothViews();
  ASSERT_TRUE(Finish(Call()));
  Pass(context_.limits.link_ping_after + absl::Seconds(1));
  ASSERT_EQ(counters_.idle_links_opened.value(), dialled_.size());
  for (FakeStream* stream : dialled_) stream->faults().stall_reads = true;
  CallOut();
  ASSERT_EQ(table_.size(), 1u);
  table_.CloseAll();
  Pass(absl::Seconds(2));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(server_table_.size(), 0u);
}

TEST_F(LinkPoolTest, ADrainLetsGoOfWhatIsIdleAndDialsNoMore) {
  BothViews();
  const size_t call = Call();
  links_.Drain();
  EXPECT_TRUE(IdleAre(0));
  EXPECT_TRUE(Echoes(call));
  ASSERT_TRUE(Finish(call));
  EXPECT_TRUE(IdleAre(0));
}

}  // namespace
}  // namespace lanyard
