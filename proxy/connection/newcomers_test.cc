#include "proxy/connection/newcomers.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/connection/departures.h"
#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

// The next process of web, or of api. The one before is the fixture's, whose streams the test offers in its name.
class NewcomersTest : public MeshTest {
 protected:
  NewcomersTest() {
    poller_->LookAtDescriptors();
    context_.departures = &web_;
    server_.departures = &api_;
    BothViews();
  }
  ~NewcomersTest() override {
    reached_ = &server_;
    reachable_ = false;
    callers_.clear();
    for (ConnectionTable* table : {&next_table_, &table_, &server_table_}) {
      table->CloseAll();
      loop_->RunOnce(absl::ZeroDuration());
    }
    context_.departures = server_.departures = nullptr;
  }
  void Replace(const WorkerContext& before, ListenerSpec spec) {
    next_ = before;
    next_.table = &next_table_;
    next_.counters = &next_counters_;
    next_.limits_reached = &next_limits_reached_;
    next_.places = &next_places_;
    next_.links = &next_links_;
    next_.accepted_links = &next_accepted_;
    next_.departures = &next_departures_;
    next_.newcomers = &newcomers_;
    spec.address = SocketAddress::Parse("127.0.0.1:0").value();
    acceptor_ = Acceptor::Bind(&next_, {spec}).value();
    next_.acceptor = acceptor_.get();
    auto [ours, theirs] = Passage::Pair().value();
    before_ = std::make_unique<Passage>(theirs.Release());
    newcomers_.line().Open(ours.Release());
  }
  void NextView(std::shared_ptr<const MeshView> view) {
    const ViewChange change = CompareViews(next_.view.get(), *view);
    next_.view = std::move(view);
    newcomers_.OnViewChange(change);
  }
  size_t OpenStream() {
    const size_t call = Call();
    EXPECT_TRUE(Echoes(call));
    return call;
  }
  // The only stream of one of the fixture's sides.
  static Connection* StreamOf(const ConnectionTable& table) {
    for (Connection* each : table.connections()) {
      if (each->MayDepart()) return each;
    }
    ADD_FAILURE() << "there is no stream";
    return nullptr;
  }
  void Say(const MoveMessage& message, int fd = -1) { ASSERT_TRUE(before_->Send(EncodeMove(message), fd).ok()); }
  // What this process says next; "" where that is nothing.
  std::string Hears() {
    absl::StatusOr<Passage::Message> message = absl::UnknownError("none yet");
    TurnUntil([&] { return (message = before_->Receive(absl::ZeroDuration())).ok(); });
    return message.ok() ? message->text : "";
  }
  MoveMessage OfferOf(Connection* stream, uint64_t id) {
    return {.kind = MoveKind::kOffer, .id = id, .offer = stream->OfferAs(id)};
  }
  // The stream that web opened at api, offered as the first here, where its peer has attached it; null: it has not.
  Connection* AttachedHere() {
    Replace(server_, inbound_);
    reached_ = &next_;
    Connection* const stream = StreamOf(server_table_);
    Say(OfferOf(stream, 1));
    if (!TurnUntil([&] { return newcomers_.expected() == 1; })) return nullptr;
    stream->AskToMove(GoAwayReason::kDraining);
    return Hears() == "ready\n1" ? stream : nullptr;
  }
  // Of a stream that its peer opened.
  static MoveMessage Inbound(uint64_t id) {
    MoveMessage message{.kind = MoveKind::kOffer, .id = id};
    message.offer = {.opened = false,
                     .token = {},
                     .shard = 0,
                     .peer_id = kWebId,
                     .listener = "capture-inbound",
                     .source = "10.0.0.1:41000",
                     .dialled = "10.0.0.2:8080",
                     .destination = "10.0.0.2:8080",
                     .remote = "",
                     .application_source = "",
                     .application_target = ""};
    message.offer.token[1] = static_cast<uint8_t>(id);
    return message;
  }
  uint64_t TimesFull() const {
    return next_counters_.limits_reached[static_cast<size_t>(Limit::kConnections)].value();
  }

  Departures web_{&context_}, api_{&server_};
  WorkerContext next_ = ContextOf(loop_.get());
  ConnectionTable next_table_{loop_.get()};
  ConnectionCounters next_counters_;
  LimitsReached next_limits_reached_{loop_.get(), &next_counters_};
  InboundPlaces next_places_{1, 0};
  LinkPool next_links_{&next_};
  AcceptedLinks next_accepted_{&next_};
  Departures next_departures_{&next_};
  Newcomers newcomers_{&next_};
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<Passage> before_;
};

// The worker of the far proxy that has the stream is not the one that it was offered with.
TEST_F(NewcomersTest, WhatThisSideOpenedIsAttachedAndKnowsWhereItsPeerHasIt) {
  server_.worker = 7;
  OpenStream();
  Replace(context_, outbound_);
  MoveMessage offer = OfferOf(StreamOf(table_), 1);
  EXPECT_EQ(offer.offer.shard, 7u);
  offer.offer.shard = 3;
  Say(offer);
  ASSERT_EQ(Hears(), "ready\n1");
  EXPECT_EQ(newcomers_.coming(), 1u);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd application(ends[0]), passed(ends[1]);
  Say({.kind = MoveKind::kYours, .id = 1}, passed.get());
  ASSERT_TRUE(TurnUntil([&] { return next_table_.size() == 1; }));
  EXPECT_EQ(newcomers_.coming(), 0u);
  EXPECT_EQ(newcomers_.expected(), 0u);
  Connection* const here = StreamOf(next_table_);
  ASSERT_NE(here, nullptr);
  EXPECT_EQ(here->token(), offer.offer.token);
  EXPECT_EQ(here->OfferAs(2).shard, 7u);
  EXPECT_EQ(next_counters_.accepted[static_cast<size_t>(Flow::kOutbound)].value(), 1u);
}

TEST_F(NewcomersTest, AStreamThatCameWithoutItsSocketIsResetAloneAndTheOthersCome) {
  OpenStream();
  Replace(context_, outbound_);
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_EQ(Hears(), "ready\n1");
  Say({.kind = MoveKind::kYours, .id = 1});
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 0; }));
  EXPECT_EQ(next_table_.size(), 0u);
  EXPECT_TRUE(newcomers_.line().open());
}

TEST_F(NewcomersTest, WhatTheRouteDoesNotExpectIsRefusedWithoutADial) {
  OpenStream();
  const size_t dialled_before = dialled_.size();
  Replace(context_, outbound_);
  next_.view = OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/other"});
  Say(OfferOf(StreamOf(table_), 1));
  EXPECT_EQ(Hears(), absl::StrCat("no\n1\nroute \"to-api\" does not expect ", kApiId));
  EXPECT_EQ(dialled_.size(), dialled_before);
  EXPECT_EQ(newcomers_.expected(), 0u);
}

TEST_F(NewcomersTest, WhatThePeerDoesNotKnowIsRefused) {
  OpenStream();
  Replace(context_, outbound_);
  MoveMessage offer = OfferOf(StreamOf(table_), 1);
  offer.offer.token.fill(0xee);
  Say(offer);
  EXPECT_NE(Hears().find("no such stream"), std::string::npos);
  EXPECT_EQ(newcomers_.coming(), 0u);
}

TEST_F(NewcomersTest, WhatNoListenerHereHasIsRefused) {
  Replace(server_, inbound_);
  MoveMessage offer = Inbound(1);
  offer.offer.listener = "another";
  Say(offer);
  EXPECT_EQ(Hears(), "no\n1\nthere is no listener \"another\" here");
  offer = Inbound(2);
  offer.offer.opened = true;
  Say(offer);
  EXPECT_EQ(Hears(), "no\n2\nlistener \"capture-inbound\" is another one here");
  newcomers_.Drain();
  Say(Inbound(3));
  EXPECT_EQ(Hears(), "no\n3\nthis process is being replaced as well");
}

TEST_F(NewcomersTest, APartOfTheRoomIsLeftToNewCallersAndWhatIsOfferedAgainCountsOnce) {
  Replace(server_, inbound_);
  next_.limits.max_connections = 4;
  for (uint64_t id = 1; id <= 3; ++id) Say(Inbound(id));
  for (uint64_t id = 4; id <= 8; ++id) {
    Say(Inbound(id));
    EXPECT_EQ(Hears(), absl::StrCat("no\n", id, "\ntoo many connections"));
  }
  EXPECT_EQ(newcomers_.expected(), 3u);
  EXPECT_EQ(TimesFull(), 1u);
  Say({.kind = MoveKind::kCancel, .id = 2});
  Say(Inbound(9));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 3; }));
  Say(Inbound(10));
  EXPECT_EQ(Hears(), "no\n10\ntoo many connections");
  EXPECT_EQ(TimesFull(), 2u);
}

TEST_F(NewcomersTest, AStreamThatItsPeerAttachesHasItsPlaceUntilItIsWithdrawn) {
  const size_t call = OpenStream();
  Replace(server_, inbound_);
  reached_ = &next_;
  next_.limits.max_connections = 2;
  Connection* const stream = StreamOf(server_table_);
  Say(OfferOf(stream, 1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  EXPECT_FALSE(IsFull(next_));
  stream->AskToMove(GoAwayReason::kDraining);
  ASSERT_EQ(Hears(), "ready\n1");
  EXPECT_EQ(newcomers_.coming(), 1u);
  EXPECT_EQ(next_places_.by_peer.keys(), 1u);
  next_.limits.max_connections = 1;
  EXPECT_TRUE(IsFull(next_)) << "what comes takes part in the limit";
  Say({.kind = MoveKind::kCancel, .id = 1});
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.coming() == 0; }));
  EXPECT_EQ(next_places_.by_peer.keys(), 0u);
  EXPECT_TRUE(Echoes(call)) << "it stays where it was";
}

// It carries the stream, and the application's socket is still on its way.
TEST_F(NewcomersTest, ALinkThatThePeerUsesGivesWayToNoOther) {
  dialer_.next_faults.has_descriptor = true;
  const size_t call = OpenStream();
  Connection* const stream = AttachedHere();
  ASSERT_NE(stream, nullptr);
  auto [own, nobody] = Passage::Pair().value();
  api_.line().Open(own.Release());
  ASSERT_TRUE(stream->Depart());
  Say({.kind = MoveKind::kGo, .id = 1});
  ASSERT_TRUE(TurnUntil([&] { return server_table_.size() == 0; })) << "both have switched";
  const size_t dialled_before = dialled_.size();
  MeshTest::web_ = Fresh(kWebId, absl::Hours(2));
  WebView(OutboundView(RouteAction::kMutualTls));
  Pass(absl::Minutes(20));
  EXPECT_GT(dialled_.size(), dialled_before);
  EXPECT_FALSE(before_->Receive(absl::ZeroDuration()).ok());
  ASSERT_EQ(table_.size(), 1u);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd application(ends[0]), passed(ends[1]);
  Say({.kind = MoveKind::kYours, .id = 1}, passed.get());
  ASSERT_TRUE(TurnUntil([&] { return next_table_.size() == 1; }));
  ASSERT_EQ(write(application.get(), "answer", 6), 6);
  StreamReader reader(callers_[call].get());
  EXPECT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "answer";
  }));
}

TEST_F(NewcomersTest, WhereHandshakesAreAtTheirLimitAnOfferWaits) {
  OpenStream();
  Pass(absl::Seconds(5));
  Replace(context_, outbound_);
  const size_t dialled_before = dialled_.size();
  next_.limits.max_link_handshakes = 1;
  next_counters_.link_handshakes_in_flight.Add();  // somebody else's
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  Pass(absl::Seconds(1));
  EXPECT_EQ(newcomers_.expected(), 1u) << "NO would put it off for a second, and for longer each time";
  EXPECT_EQ(dialled_.size(), dialled_before);
  EXPECT_EQ(next_counters_.limit_link_handshakes.value(), 1u);
  next_counters_.link_handshakes_in_flight.Subtract();
  Pass(2 * Newcomers::kDialPause);
  EXPECT_EQ(Hears(), "ready\n1");
}

TEST_F(NewcomersTest, WhatWaitedForAHandshakeIsDecidedByTheRulesOfThen) {
  OpenStream();
  Replace(context_, outbound_);
  next_.limits.max_link_handshakes = 1;
  next_counters_.link_handshakes_in_flight.Add();
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  next_.view = OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/other"});
  next_counters_.link_handshakes_in_flight.Subtract();
  Pass(2 * Newcomers::kDialPause);
  EXPECT_EQ(Hears(), absl::StrCat("no\n1\nroute \"to-api\" does not expect ", kApiId));
}

TEST_F(NewcomersTest, NoMoreThanSoManyWaitForAHandshake) {
  OpenStream();
  Replace(context_, outbound_);
  next_.limits.max_link_handshakes = 1;
  next_counters_.link_handshakes_in_flight.Add();
  MoveMessage offer = OfferOf(StreamOf(table_), 1);
  for (offer.id = 1; offer.id <= Newcomers::kMaxWaiting; ++offer.id) {
    Say(offer);
    ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == offer.id; }));
  }
  Say(offer);
  EXPECT_NE(Hears().find("too many handshakes"), std::string::npos);
  EXPECT_EQ(newcomers_.expected(), Newcomers::kMaxWaiting);
}

TEST_F(NewcomersTest, HalfOfTheHandshakesAreTheirsWhileTheyCome) {
  OpenStream();
  Replace(context_, outbound_);
  EXPECT_FALSE(next_.streams_come);
  next_.limits.max_link_handshakes = 1;
  next_counters_.link_handshakes_in_flight.Add();  // so that it waits
  MoveMessage offer = OfferOf(StreamOf(table_), 1);
  Say(offer);
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  EXPECT_TRUE(next_.streams_come);
  Say({.kind = MoveKind::kCancel, .id = 1});
  EXPECT_TRUE(TurnUntil([&] { return !next_.streams_come; })) << "though the process before is still there";
  offer.id = 2;
  Say(offer);
  ASSERT_TRUE(TurnUntil([&] { return next_.streams_come; }));
  before_.reset();
  EXPECT_TRUE(TurnUntil([&] { return !next_.streams_come; }));
}

// What was sent there is lost, and what is not must not follow it.
TEST_F(NewcomersTest, AStreamWhoseNewLinkIsLostStaysWhereItIs) {
  const size_t call = OpenStream();
  Pass(absl::Seconds(5));  // until no more links are made ahead of need
  Replace(context_, outbound_);
  const size_t new_link = dialled_.size();
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_EQ(Hears(), "ready\n1");
  ASSERT_EQ(dialled_.size(), new_link + 1);
  dialled_[new_link]->Reset();
  dialled_[new_link]->Wake();
  EXPECT_EQ(Hears().rfind("no\n1\n", 0), 0u);
  EXPECT_EQ(newcomers_.expected(), 0u);
  EXPECT_EQ(newcomers_.coming(), 0u);
  EXPECT_TRUE(Echoes(call));
}

TEST_F(NewcomersTest, APeerThatGivesItsNewLinkUpIsExpectedWithAnother) {
  const size_t call = OpenStream();
  Pass(absl::Seconds(5));
  Replace(server_, inbound_);
  reached_ = &next_;
  Connection* const stream = StreamOf(server_table_);
  Say(OfferOf(stream, 1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  const size_t new_link = dialled_.size();
  stream->AskToMove(GoAwayReason::kDraining);
  ASSERT_EQ(Hears(), "ready\n1");
  ASSERT_EQ(dialled_.size(), new_link + 1);
  EXPECT_EQ(next_places_.by_peer.keys(), 1u);
  dialled_[new_link]->Reset();
  dialled_[new_link]->Wake();
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.coming() == 0; }));
  EXPECT_EQ(next_places_.by_peer.keys(), 0u);
  EXPECT_EQ(newcomers_.expected(), 1u);
  Pass(absl::Seconds(3));
  EXPECT_EQ(Hears(), "ready\n1") << "it tries again";
  EXPECT_EQ(newcomers_.coming(), 1u);
  EXPECT_TRUE(Echoes(call));
}

// Its link is neither to be used nor to stay open; the process before decides by its own rules what becomes of the
// stream.
TEST_F(NewcomersTest, WhoIsBannedWhileAStreamIsOnItsWayGoesBack) {
  const size_t call = OpenStream();
  Replace(context_, outbound_);
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_EQ(Hears(), "ready\n1");
  NextView(OutboundView(RouteAction::kMutualTls));
  EXPECT_EQ(newcomers_.coming(), 1u) << "nothing has changed for it";
  auto view = OutboundView(RouteAction::kMutualTls);
  view->bans = BanSet({Ban{BanSubject::Parse(kApiId).value(), "", absl::UnixEpoch()}});
  NextView(view);
  EXPECT_EQ(newcomers_.expected(), 0u);
  EXPECT_EQ(newcomers_.coming(), 0u);
  EXPECT_EQ(Hears().rfind("no\n1\n", 0), 0u);
  EXPECT_TRUE(Echoes(call));
}

TEST_F(NewcomersTest, AStreamWhoseRouteChangesWhileItsPeerIsAskedGoesBack) {
  OpenStream();
  Replace(context_, outbound_);
  Say(OfferOf(StreamOf(table_), 1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  NextView(OutboundView(RouteAction::kMutualTls, {"spiffe://example.org/other"}));
  EXPECT_EQ(newcomers_.expected(), 0u);
  EXPECT_EQ(Hears(), absl::StrCat("no\n1\nroute \"to-api\" does not expect ", kApiId));
  EXPECT_EQ(next_counters_.link_handshakes_in_flight.value(), 0u);
}

TEST_F(NewcomersTest, APeerThatIsNoLongerAllowedIsToldSoInsteadOfBeingLeftToWait) {
  const size_t call = OpenStream();
  ASSERT_NE(AttachedHere(), nullptr);
  NextView(InboundView("spiffe://example.org/other"));
  EXPECT_EQ(newcomers_.expected(), 0u);
  EXPECT_EQ(newcomers_.coming(), 0u);
  EXPECT_EQ(next_places_.by_peer.keys(), 0u);
  EXPECT_EQ(next_accepted_.size(), 1u) << "the link is as good as any other";
  EXPECT_EQ(Hears().rfind("no\n1\n", 0), 0u);
  EXPECT_TRUE(Echoes(call));
}

// It must not come first and be closed then.
TEST_F(NewcomersTest, WithoutAPlaceForItsPeerAStreamStaysWhereItIs) {
  const size_t call = OpenStream();
  Replace(server_, inbound_);
  reached_ = &next_;
  Place taken;
  ASSERT_TRUE(next_places_.by_peer.Take(kWebId, &taken));
  Connection* const stream = StreamOf(server_table_);
  Say(OfferOf(stream, 1));
  stream->AskToMove(GoAwayReason::kDraining);
  const Counter& reached = next_counters_.limits_reached[static_cast<size_t>(Limit::kConnectionsPerPeer)];
  ASSERT_TRUE(TurnUntil([&] { return reached.value() == 1; }));
  EXPECT_EQ(newcomers_.coming(), 0u);
  EXPECT_TRUE(Echoes(call));
  taken.GiveBack();
  Pass(absl::Seconds(2));
  EXPECT_EQ(Hears(), "ready\n1") << "its peer tries again";
}

TEST_F(NewcomersTest, WithTheProcessBeforeItsOffersEnd) {
  Replace(server_, inbound_);
  Say(Inbound(1));
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 1; }));
  before_.reset();
  ASSERT_TRUE(TurnUntil([&] { return newcomers_.expected() == 0; }));
}

}  // namespace
}  // namespace lanyard
