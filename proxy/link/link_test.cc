#include "proxy/link/link.h"

#include <functional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/listener.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/link/link_testing.h"
#include "proxy/link/mesh_stream.h"

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

TEST_F(LinkTest, APongTellsThatThePeerIsThere) {
  harness_.loop()->RunOnce(absl::Seconds(30));
  const absl::Duration opened = opener_->quiet_since();
  for (int turn = 0; turn < 10 && harness_.loop()->now() - opened < absl::Seconds(30); ++turn) {
    harness_.loop()->RunOnce(absl::Seconds(30));
  }
  opener_->Ping();
  EXPECT_TRUE(Until([&] { return harness_.near.pongs == 1; }));
  EXPECT_GT(opener_->quiet_since(), opened);
  EXPECT_EQ(opener_->idle_since(), opened) << "its age is another matter";
}

TEST_F(LinkTest, VouchesForAStreamAndIsIdleAgain) {
  for (const bool believed : {true, false}) {
    opener_->Vouch({TestToken(4), 9});
    EXPECT_EQ(opener_->state(), Link::State::kVouching);
    ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; }));
    EXPECT_EQ(harness_.far.vouch->token, TestToken(4));
    EXPECT_EQ(harness_.far.vouch->shard, 9u);
    harness_.far.asked->AnswerVouch(9, believed ? absl::OkStatus() : absl::NotFoundError("gone"));
    harness_.far.Keep(std::move(harness_.far.asked));
    ASSERT_TRUE(Until([&] { return harness_.near.vouched.has_value(); }));
    EXPECT_EQ(harness_.near.vouched->ok(), believed);
    EXPECT_TRUE(opener_->idle() && acceptor_->idle());
    harness_.near.vouched.reset();
  }
}

TEST_F(LinkTest, AVouchThatIsNotAnsweredEndsTheLinkAfterTheDeadline) {
  opener_->Vouch({TestToken(4), 9});
  const absl::Duration start = harness_.loop()->now();
  ASSERT_TRUE(Until([&] { return harness_.near.closed == 1; }));
  EXPECT_EQ(harness_.near.last_text, "the peer did not answer VOUCH or ATTACH in time");
  EXPECT_GE(harness_.loop()->now() - start, Link::kVouchDeadline);
}

TEST_F(LinkTest, APingBeforeEachRequestIsNoFlood) {
  for (int round = 0; round < 2 * Link::kMaxOwnFramesPerSecond; ++round) {
    opener_->Ping();
    ASSERT_TRUE(Until([&] { return !opener_->awaits_pong(); })) << round;
    opener_->Vouch({TestToken(4), 9});
    ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; })) << round;
    harness_.far.asked->AnswerVouch(9, absl::OkStatus());
    harness_.far.Keep(std::move(harness_.far.asked));
    ASSERT_TRUE(Until([&] { return opener_->idle(); })) << round;
  }
  EXPECT_EQ(harness_.near.closed + harness_.far.closed, 0);
}

// For a stream that another process has at the opener's side.
TEST_F(LinkTest, AttachesWithoutAStreamAndWaitsForOne) {
  opener_->Attach({TestToken(4), 9});
  ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; }));
  EXPECT_EQ(harness_.far.attach->token, TestToken(4));
  harness_.far.asked->RefuseAttach(RefuseReason::kBusy, "not now");
  harness_.far.Keep(std::move(harness_.far.asked));
  ASSERT_TRUE(Until([&] { return harness_.near.vouched.has_value(); }));
  EXPECT_FALSE(harness_.near.vouched->ok());
  EXPECT_TRUE(opener_->idle() && acceptor_->idle());
  harness_.near.vouched.reset();
  opener_->Attach({TestToken(4), 9});
  ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; }));
  harness_.far.asked->AcceptAttach(2);
  ASSERT_TRUE(Until([&] { return harness_.near.vouched.has_value(); }));
  EXPECT_TRUE(harness_.near.vouched->ok());
  EXPECT_EQ(harness_.near.shard, 2u) << "the worker that has the stream now";
  EXPECT_EQ(opener_->state(), Link::State::kTaken);
  EXPECT_EQ(acceptor_->state(), Link::State::kTaken);
}

TEST_F(LinkTest, AWatchedLinkTellsThatItsPeerIsGone) {
  opener_->Attach({TestToken(4), 9});
  ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; }));
  LinkKeeper watch;
  harness_.far.asked->Watch(&watch);
  harness_.far.asked->AcceptAttach(2);
  ASSERT_TRUE(Until([&] { return harness_.near.vouched.has_value(); }));
  EXPECT_EQ(watch.closed, 0);
  harness_.near.links.clear();
  EXPECT_TRUE(Until([&] { return watch.closed == 1; }));
  EXPECT_EQ(harness_.far.asked->state(), Link::State::kClosed);
}

// What it sends for the stream is not lost by that.
TEST_F(LinkTest, AWatchedLinkKeepsWhatComesForItsStream) {
  opener_->Attach({TestToken(4), 9});
  ASSERT_TRUE(Until([&] { return harness_.far.asked != nullptr; }));
  LinkKeeper watch, keeper;
  harness_.far.asked->Watch(&watch);
  harness_.far.asked->AcceptAttach(2);
  ASSERT_TRUE(Until([&] { return harness_.near.vouched.has_value(); }));
  const StreamState state = {.token = TestToken(4), .shard = 2};
  auto opener = MeshStream::Resumed(harness_.loop(), harness_.near.Take(opener_), state, &keeper);
  StreamWriter writer(opener.get(), "question");
  ASSERT_TRUE(Until([&] { return writer.Push(); }));
  for (int turn = 0; turn < 20; ++turn) harness_.loop()->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(watch.closed, 0);
  EXPECT_EQ(harness_.pool.lent(), 0u) << "a stream that is long on its way keeps no block";
  auto acceptor = MeshStream::Resumed(harness_.loop(), std::move(harness_.far.asked), state, &keeper);
  StreamReader reader(acceptor.get());
  EXPECT_TRUE(Until([&] {
    reader.Drain();
    return reader.bytes() == "question";
  }));
}

TEST_F(LinkTest, TellsThatThePeerGoesAway) {
  acceptor_->GoAway(GoAwayReason::kDraining);
  EXPECT_TRUE(Until([&] { return harness_.near.go_away.has_value(); }));
  EXPECT_EQ(*harness_.near.go_away, GoAwayReason::kDraining);
  EXPECT_EQ(opener_->going_away(), GoAwayReason::kDraining);
  EXPECT_TRUE(opener_->idle());
}

// Its SVID was rotated, and then its process is to end: that the peer must hear of all the same.
TEST_F(LinkTest, TellsThatAPeerWhoseSvidIsAnotherDrainsToo) {
  acceptor_->GoAway(GoAwayReason::kRotated);
  ASSERT_TRUE(Until([&] { return harness_.near.go_away == GoAwayReason::kRotated; }));
  acceptor_->GoAway(GoAwayReason::kDraining);
  EXPECT_TRUE(Until([&] { return harness_.near.go_away == GoAwayReason::kDraining; }));
  EXPECT_EQ(opener_->going_away(), GoAwayReason::kDraining);
  harness_.near.go_away.reset();
  acceptor_->GoAway(GoAwayReason::kRotated);
  acceptor_->GoAway(GoAwayReason::kDraining);
  opener_->Ping();
  ASSERT_TRUE(Until([&] { return harness_.near.pongs == 1; }));
  EXPECT_FALSE(harness_.near.go_away.has_value()) << "nothing more is to be said";
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

TEST_F(LinkTest, ARetiredLinkWhosePeerIsSilentIsGivenUp) {
  harness_.far.links.front()->Observe(nullptr);  // it reads nothing
  opener_->Retire();
  const absl::Duration start = harness_.loop()->now();
  for (int turn = 0; turn < 30 && harness_.near.closed == 0; ++turn) harness_.loop()->RunOnce(absl::Minutes(1));
  ASSERT_EQ(harness_.near.closed, 1);
  EXPECT_EQ(harness_.near.last_error, StreamError::kTimedOut);
  EXPECT_GE(harness_.loop()->now() - start, Link::kIdleRetireDeadline);
  EXPECT_LT(harness_.loop()->now() - start, Link::kRetireDeadline);
  acceptor_->Observe(&harness_.far);
  ASSERT_TRUE(Until([&] { return harness_.far.closed == 1; }));
  EXPECT_EQ(harness_.far.last_error, StreamError::kNone) << "all that was sent comes, and no reset";
}

TEST_F(LinkTest, ARetiredLinkThatHasNotSentAllIsWaitedForLonger) {
  opener_lower_->faults().stall_writes = true;
  opener_->Retire();
  EXPECT_TRUE(opener_->has_unsent());
  const absl::Duration start = harness_.loop()->now();
  for (int turn = 0; turn < 30 && harness_.near.closed == 0; ++turn) harness_.loop()->RunOnce(absl::Minutes(1));
  ASSERT_EQ(harness_.near.closed, 1);
  EXPECT_GE(harness_.loop()->now() - start, Link::kRetireDeadline);
}

// A peer that speaks TLS well and the mesh protocol as it likes.
class HostileTest : public testing::Test {
 protected:
  void Start(LinkRole ours) {
    auto [left, right] = FakeStream::Pair(harness_.loop());
    const bool opener = ours == LinkRole::kOpener;
    auto tls = std::make_unique<TlsStream>(std::move(left), opener ? LinkIds().web->NewClient()
                                                                   : LinkIds().web->NewServer(), &harness_.pool);
    peer_ = std::make_unique<TlsStream>(std::move(right), opener ? LinkIds().api->NewServer()
                                                                 : LinkIds().api->NewClient(), &harness_.pool);
    ASSERT_TRUE(harness_.TurnUntil([&] {
      const IoStatus one = tls->Open().status, two = peer_->Open().status;
      return one == IoStatus::kOk && two == IoStatus::kOk;
    }));
    auto link = std::make_unique<Link>(harness_.loop(), std::move(tls), ours, LinkIds().web);
    link_ = link.get();
    keeper_.Keep(std::move(link));
  }
  void Send(const std::string& bytes) {
    StreamWriter writer(peer_.get(), bytes);
    ASSERT_TRUE(harness_.TurnUntil([&] { return writer.Push(); }));
  }

  LinkHarness harness_;
  std::unique_ptr<TlsStream> peer_;
  LinkKeeper keeper_;
  Link* link_ = nullptr;
};

TEST_F(HostileTest, WhatDoesNotBelongOnAnIdleLinkEndsIt) {
  std::string data;
  AppendHeader(FrameType::kData, 1, &data);
  data += "x";
  const OpenRequest open{TestToken(1), "10.0.0.7:80", ""};
  const std::string for_both[] = {data,
                                  EncodeEmpty(FrameType::kEnd),
                                  EncodeEmpty(FrameType::kSwitch),
                                  EncodeReset(ResetReason::kStream),
                                  EncodeAccept(1),
                                  EncodeRefuse({RefuseReason::kOther, ""}),
                                  EncodePing(FrameType::kPong, 1),
                                  "GET / HTTP/1.1\r\n\r\n",
                                  std::string("\x09\x00\x00\x01x", 5)};  // a short PING
  for (const std::string& bytes : for_both) {
    for (const LinkRole role : {LinkRole::kOpener, LinkRole::kAcceptor}) {
      Start(role);
      Send(bytes);
      ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.links.empty(); })) << bytes;
      EXPECT_EQ(keeper_.last_error, StreamError::kMeshProtocol) << bytes;
    }
  }
  for (const std::string& bytes : {EncodeOpen(open), EncodeAttach({TestToken(1), 0}), EncodeVouch({TestToken(1), 0}),
                                   std::string("\x0c\x00\x00\x01x", 5)}) {
    Start(LinkRole::kOpener);
    Send(bytes);
    ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.links.empty(); })) << bytes;
    EXPECT_EQ(keeper_.last_error, StreamError::kMeshProtocol);
  }
  Start(LinkRole::kAcceptor);
  Send(EncodeGoAway(GoAwayReason::kDraining));
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.links.empty(); }));
  EXPECT_EQ(keeper_.last_error, StreamError::kMeshProtocol);
  EXPECT_EQ(keeper_.asked, nullptr);
}

TEST_F(HostileTest, WhatIsNoAnswerToAVouchEndsTheLink) {
  for (const std::string& bytes : {EncodeOpen({TestToken(1), "10.0.0.7:80", ""}), EncodeEmpty(FrameType::kSwitch),
                                   std::string("\x02\x00\x00\x01x", 5)}) {
    Start(LinkRole::kOpener);
    link_->Vouch({TestToken(1), 0});
    Send(bytes);
    ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.links.empty(); })) << bytes;
    EXPECT_EQ(keeper_.last_error, StreamError::kMeshProtocol) << bytes;
    EXPECT_FALSE(keeper_.vouched.has_value());
  }
}

std::string Pings(uint64_t count) {
  std::string pings;
  for (uint64_t i = 0; i < count; ++i) pings += EncodePing(FrameType::kPing, i);
  return pings;
}

TEST_F(HostileTest, AFloodOfPingsLetsOtherLinksHaveTheirTurn) {
  Start(LinkRole::kAcceptor);
  Send(Pings(Link::kMaxOwnFramesPerSecond));
  const std::string last = EncodePing(FrameType::kPong, Link::kMaxOwnFramesPerSecond - 1);
  StreamReader answers(peer_.get());
  int turns = 0;
  ASSERT_TRUE(harness_.TurnUntil([&] {
    ++turns;
    answers.Drain();
    return answers.bytes().ends_with(last);
  }));
  EXPECT_GE(turns, 4) << "one or two shares in each";
  EXPECT_LE(answers.bytes().size() / last.size(), 10u) << "a PONG answers all that were read before it";
  EXPECT_EQ(keeper_.closed, 0);
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(HostileTest, PingsWithoutEndEndTheLink) {
  Start(LinkRole::kAcceptor);
  StreamWriter writer(peer_.get(), Pings(20000));
  ASSERT_TRUE(harness_.TurnUntil([&] {
    writer.Push();
    return keeper_.closed == 1;
  }));
  EXPECT_EQ(keeper_.last_error, StreamError::kMeshProtocol);
  EXPECT_EQ(keeper_.last_text, "the far proxy broke the mesh protocol: too many frames like PING");
}

// Nothing but the link itself tells of those that are left.
TEST_F(HostileTest, PingsWithinAStreamDelayItAndNoMore) {
  Start(LinkRole::kAcceptor);
  std::string data;
  AppendHeader(FrameType::kData, 1, &data);
  Send(EncodeOpen({TestToken(1), "10.0.0.7:80", ""}) + Pings(90) + data + "x");
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.asked != nullptr; }));
  auto stream = MeshStream::Accepted(harness_.loop(), std::move(keeper_.asked), TestToken(1), &keeper_);
  stream->Accept(1);
  struct Waiter final : StreamObserver {
    void OnReady() override { ready = true; }
    bool ready = true;
  };
  Waiter waiter;
  stream->set_observer(&waiter);
  IoResult read{IoStatus::kWouldBlock};
  uint8_t block[100];
  ASSERT_TRUE(harness_.TurnUntil([&] {
    if (std::exchange(waiter.ready, false)) read = stream->Read(block);
    return read.status != IoStatus::kWouldBlock;
  }));
  EXPECT_EQ(read.status, IoStatus::kOk);
  EXPECT_EQ(read.size_bytes, 1u);
  stream->set_observer(nullptr);
}

TEST_F(HostileTest, ARetiringLinkDiscardsSoMuchAndNoMore) {
  Start(LinkRole::kAcceptor);
  link_->Retire();
  StreamWriter writer(peer_.get(), std::string(Link::kMaxDiscardedBytes + 1, 'x'));
  ASSERT_TRUE(harness_.TurnUntil([&] {
    writer.Push();
    return keeper_.closed == 1;
  }));
  EXPECT_EQ(keeper_.last_text, "the peer goes on sending to a stream that was closed");
}

TEST_F(HostileTest, AStreamThatIsClosedHereAndSentOnIsCutOff) {
  Start(LinkRole::kAcceptor);
  Send(EncodeOpen({TestToken(1), "10.0.0.7:80", ""}));
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.asked != nullptr; }));
  auto stream = MeshStream::Accepted(harness_.loop(), std::move(keeper_.asked), TestToken(1), &keeper_);
  stream->Refuse(RefuseReason::kNotAllowed, "");
  stream.reset();
  std::string data;
  AppendHeader(FrameType::kData, kMaxDataBytes, &data);
  data.append(kMaxDataBytes, 'x');
  std::string all;
  for (size_t sent = 0; sent <= Link::kMaxDiscardedBytes; sent += kMaxDataBytes) all += data;
  StreamWriter writer(peer_.get(), all);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    writer.Push();
    return keeper_.closed == 1;
  }));
  EXPECT_EQ(keeper_.last_text, "the peer goes on sending to a stream that was closed");
}

TEST_F(HostileTest, AStreamThatIsClosedHereOnlyIsGivenUpAfterTheDeadline) {
  Start(LinkRole::kAcceptor);
  Send(EncodeOpen({TestToken(1), "10.0.0.7:80", ""}));
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.asked != nullptr; }));
  auto stream = MeshStream::Accepted(harness_.loop(), std::move(keeper_.asked), TestToken(1), &keeper_);
  stream->Refuse(RefuseReason::kNotAllowed, "");
  stream.reset();
  ASSERT_EQ(keeper_.links.size(), 1u);
  EXPECT_EQ(keeper_.links.front()->state(), Link::State::kClosing);
  const absl::Duration start = harness_.loop()->now();
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.closed == 1; }));
  EXPECT_EQ(keeper_.last_error, StreamError::kTimedOut);
  EXPECT_GE(harness_.loop()->now() - start, Link::kClosingDeadline);
}

TEST_F(HostileTest, AnOpenerThatAttachesAndNeitherSwitchesNorGivesUpDoesNotHoldTheLink) {
  Start(LinkRole::kAcceptor);
  Send(EncodeOpen({TestToken(1), "10.0.0.7:80", ""}));
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.asked != nullptr; }));
  auto stream = MeshStream::Accepted(harness_.loop(), std::move(keeper_.asked), TestToken(1), &keeper_);
  stream->Accept(1);
  ASSERT_TRUE(harness_.TurnUntil([&] { return stream->Flush().status == IoStatus::kOk; }));
  const std::unique_ptr<TlsStream> first = std::move(peer_);
  Start(LinkRole::kAcceptor);
  Send(EncodeAttach({TestToken(1), 1}));
  ASSERT_TRUE(harness_.TurnUntil([&] { return keeper_.asked != nullptr; }));
  std::optional<absl::Status> told;
  const absl::Duration start = harness_.loop()->now();
  ASSERT_TRUE(stream->Attach(std::move(keeper_.asked), [&](absl::Status status) { told = status; }).ok());
  for (int turn = 0; turn < 100 && !told; ++turn) harness_.loop()->RunOnce(absl::Minutes(1));
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(harness_.loop()->now() - start, MeshStream::kSwitchDeadline);
  EXPECT_FALSE(stream->carrying_over());
  EXPECT_EQ(stream->error(), StreamError::kNone) << "it stays where it is";
}

// Two workers' loops in one thread, over loopback.
TEST(LinkRelease, MovesALinkWithWhatItHasNotReadToAnotherLoop) {
  BufferPool pool(80 << 10), other_pool(80 << 10);
  auto loop = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  auto other = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  const auto until = [&](const std::function<bool()>& done) {
    for (int turn = 0; turn < 5000 && !done(); ++turn) {
      loop->RunOnce(absl::Milliseconds(1));
      other->RunOnce(absl::Milliseconds(1));
    }
    return done();
  };
  auto listener = Listener::Bind(loop.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  std::unique_ptr<TcpStream> accepted;
  ASSERT_TRUE(listener->Start({[&](UniqueFd fd, const SocketAddress&) {
                                 accepted = TcpStream::Accepted(loop.get(), std::move(fd));
                               },
                               [](int) {}})
                  .ok());
  auto client = std::make_unique<TlsStream>(TcpStream::Dialling(loop.get(), listener->address()),
                                            LinkIds().web->NewClient(), &pool);
  ASSERT_TRUE(until([&] { return accepted != nullptr; }));
  auto server = std::make_unique<TlsStream>(std::move(accepted), LinkIds().api->NewServer(), &pool);
  ASSERT_TRUE(until([&] {
    const IoStatus one = client->Open().status, two = server->Open().status;
    return one == IoStatus::kOk && two == IoStatus::kOk;
  }));
  LinkKeeper keeper;
  keeper.Keep(std::make_unique<Link>(loop.get(), std::move(server), LinkRole::kAcceptor, LinkIds().api));
  // ATTACH, and more behind it than one read of the socket takes, all of it sent before the link moves.
  const std::string text = TestBytes(200000, 1);
  std::string sent = EncodeAttach({TestToken(3), 1});
  for (size_t at = 0; at < text.size(); at += kMaxDataBytes) {
    const std::string part = text.substr(at, kMaxDataBytes);
    AppendHeader(FrameType::kData, part.size(), &sent);
    sent += part;
  }
  StreamWriter writer(client.get(), sent);
  ASSERT_TRUE(until([&] {
    writer.Push();
    return keeper.asked != nullptr;
  }));
  LinkParts parts = Link::Release(std::move(keeper.asked));
  ASSERT_TRUE(parts.fd.valid());
  EXPECT_EQ(pool.lent(), 0u);
  std::unique_ptr<Link> link = Link::Rebuild(other.get(), &other_pool, std::move(parts));
  EXPECT_EQ(link->peer()->id.ToString(), "spiffe://example.org/web");
  auto stream = MeshStream::Accepted(other.get(), std::move(link), TestToken(3), &keeper);
  stream->Accept(1);
  StreamReader reader(stream.get());
  ASSERT_TRUE(until([&] {
    writer.Push();
    reader.Drain();
    return reader.bytes().size() >= text.size();
  }));
  EXPECT_TRUE(reader.bytes() == text);
  StreamWriter back(stream.get(), "answer");
  StreamReader answer(client.get());
  ASSERT_TRUE(until([&] {
    back.Push();
    answer.Drain();
    return answer.bytes().size() >= 8 + 10;
  }));
  EXPECT_EQ(answer.bytes().substr(answer.bytes().size() - 6), "answer");
  stream.reset();
  keeper.links.clear();
}

}  // namespace
}  // namespace lanyard
