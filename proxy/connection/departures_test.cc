#include "proxy/connection/departures.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

// The test plays the next process, whichever of the two sides drains.
class DeparturesTest : public MeshTest {
 protected:
  DeparturesTest() {
    poller_->LookAtDescriptors();
    context_.departures = &web_;
    server_.departures = &api_;
    BothViews();
  }
  ~DeparturesTest() override {
    reachable_ = false;
    callers_.clear();
    table_.CloseAll();
    server_table_.CloseAll();
    loop_->RunOnce(absl::ZeroDuration());
    context_.departures = server_.departures = nullptr;
  }
  void Connect(Departures& departures) {
    auto [ours, theirs] = Passage::Pair().value();
    next_ = std::make_unique<Passage>(theirs.Release());
    departures.line().Open(ours.Release());
  }
  void Calls(int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(Echoes(Call()));
  }
  // What the next process is told now.
  std::vector<MoveMessage> Heard() {
    std::vector<MoveMessage> heard;
    for (;;) {
      const auto message = next_->Receive(absl::ZeroDuration());
      if (!message.ok()) return heard;
      heard.push_back(ParseMove(message->text).value());
    }
  }
  std::vector<MoveMessage> Offers() {
    std::vector<MoveMessage> offers = Heard();
    std::erase_if(offers, [](const MoveMessage& each) { return each.kind != MoveKind::kOffer; });
    return offers;
  }
  void Say(MoveKind kind, uint64_t id) {
    ASSERT_TRUE(next_->Send(EncodeMove({.kind = kind, .id = id, .why = "why not"})).ok());
  }

  Departures web_{&context_}, api_{&server_};
  std::unique_ptr<Passage> next_;
};

TEST_F(DeparturesTest, EveryStreamIsOfferedOnceItDrains) {
  Calls(2);
  Connect(api_);
  EXPECT_TRUE(Heard().empty());
  api_.Drain();
  const auto offers = Offers();
  ASSERT_EQ(offers.size(), 2u);
  EXPECT_FALSE(offers[0].offer.opened);
  EXPECT_EQ(offers[0].offer.peer_id, kWebId);
  EXPECT_EQ(offers[0].offer.listener, "capture-inbound");
  EXPECT_EQ(offers[0].offer.remote, "");
  EXPECT_NE(offers[0].offer.token, offers[1].offer.token);
  EXPECT_NE(offers[0].id, offers[1].id);
  Pass(absl::Seconds(1));
  EXPECT_TRUE(Offers().empty()) << "once, until there is an answer";
  EXPECT_EQ(api_.offered(), 2u);
}

TEST_F(DeparturesTest, WhatThisSideOpenedIsOfferedWithItsPeersAddress) {
  Calls(1);
  Connect(web_);
  web_.Drain();
  const auto offers = Offers();
  ASSERT_EQ(offers.size(), 1u);
  EXPECT_TRUE(offers[0].offer.opened);
  EXPECT_EQ(offers[0].offer.remote, "10.0.0.2:8080");
  EXPECT_EQ(offers[0].offer.source, "10.0.0.1:40000");
}

TEST_F(DeparturesTest, AStreamThatEndsIsWithdrawn) {
  Calls(1);
  Connect(api_);
  api_.Drain();
  const auto offers = Offers();
  ASSERT_EQ(offers.size(), 1u);
  callers_[0]->Reset();
  ASSERT_TRUE(TurnUntil([&] { return api_.offered() == 0; }));
  const auto heard = Heard();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].kind, MoveKind::kCancel);
  EXPECT_EQ(heard[0].id, offers[0].id);
}

TEST_F(DeparturesTest, ReadyIsAnsweredByGo) {
  Calls(1);
  Connect(api_);
  api_.Drain();
  const auto offers = Offers();
  ASSERT_EQ(offers.size(), 1u);
  Say(MoveKind::kReady, offers[0].id);
  std::vector<MoveMessage> heard;
  ASSERT_TRUE(TurnUntil([&] { return !(heard = Heard()).empty(); }));
  EXPECT_EQ(heard[0].kind, MoveKind::kGo);
  next_.reset();
  ASSERT_TRUE(TurnUntil([&] { return !api_.line().open(); }));
  EXPECT_TRUE(Echoes(0)) << "the next process did not come to switch";
}

// An opener that is asked before its stream is offered would find nobody who knows it.
TEST_F(DeparturesTest, PeersAreAskedOnceTheirStreamsAreOffered) {
  Calls(4);
  Pass(absl::Seconds(5));  // until no more links are made ahead of need
  Connect(api_);
  server_.workers = MoveLine::kMaxQueued / 3;  // one offer in a turn
  const size_t dialled_before = dialled_.size();
  size_t offers = 0;
  api_.Drain();
  for (int turn = 0; turn < 20 && offers < 4; ++turn) {
    Pass(absl::Milliseconds(10));
    offers += Offers().size();
    ASSERT_LE(dialled_.size() - dialled_before, offers);
  }
  EXPECT_EQ(offers, 4u);
  EXPECT_TRUE(TurnUntil([&] { return dialled_.size() - dialled_before >= 4; })) << "each opener looks for the next one";
  server_.workers = 1;
}

// The new link came to the process that is to be left, before it stopped accepting. Nobody says a word on the stream.
TEST_F(DeparturesTest, AStreamThatWasCarriedOverToThisProcessIsAskedForAgain) {
  Calls(1);
  Pass(absl::Seconds(5));
  Connect(api_);
  const size_t dialled_before = dialled_.size();
  api_.Drain();
  Pass(absl::Seconds(4));
  EXPECT_EQ(api_.offered(), 1u);
  EXPECT_GE(dialled_.size() - dialled_before, 3u);
  EXPECT_LE(dialled_.size() - dialled_before, 6u) << "about once a second";
  EXPECT_TRUE(Echoes(0));
}

TEST_F(DeparturesTest, WithoutANextProcessPeersAreAskedAtOnce) {
  Calls(2);
  const size_t dialled_before = dialled_.size();
  api_.Drain();
  EXPECT_TRUE(TurnUntil([&] { return dialled_.size() - dialled_before >= 2; }));
}

TEST_F(DeparturesTest, WhenTheNextProcessEndsPeersAreAskedAtOnce) {
  Calls(4);
  Connect(api_);
  server_.workers = MoveLine::kMaxQueued / 3;
  const size_t dialled_before = dialled_.size();
  api_.Drain();
  next_.reset();
  server_.workers = 1;
  EXPECT_TRUE(TurnUntil([&] { return dialled_.size() - dialled_before >= 4; }));
  EXPECT_EQ(api_.offered(), 0u);
}

TEST_F(DeparturesTest, StreamsOfOneAddressLeaveRoomForTheOthers) {
  Calls(Departures::kDialledEachAtFirst + 3);
  Connect(web_);
  web_.Drain();
  const auto offers = Offers();
  EXPECT_EQ(offers.size(), Departures::kDialledEachAtFirst);
  Say(MoveKind::kReady, offers[0].id);
  Say(MoveKind::kNo, offers[1].id);
  Pass(absl::Milliseconds(100));
  EXPECT_EQ(Offers().size(), 2u) << "an answer makes room";
}

// A round trip of 100 ms: TCP, TLS and ATTACH take three.
TEST_F(DeparturesTest, ManyStreamsToAFarPeerDoNotTakeARoundTripEach) {
  constexpr size_t kStreams = 100;
  Calls(kStreams);
  Connect(web_);
  web_.Drain();
  std::deque<std::pair<absl::Duration, uint64_t>> dialled;
  std::set<StreamToken> offered;
  size_t most = 0;
  const absl::Duration begun = clock_.Monotonic();
  while (offered.size() < kStreams && clock_.Monotonic() - begun < absl::Seconds(10)) {
    for (const MoveMessage& each : Offers()) {
      offered.insert(each.offer.token);
      dialled.emplace_back(clock_.Monotonic(), each.id);
    }
    most = std::max(most, dialled.size());
    Pass(absl::Milliseconds(20));
    for (; !dialled.empty() && clock_.Monotonic() - dialled.front().first >= absl::Milliseconds(300);
         dialled.pop_front()) {
      Say(MoveKind::kReady, dialled.front().second);
    }
  }
  EXPECT_EQ(offered.size(), kStreams);
  EXPECT_LE(clock_.Monotonic() - begun, absl::Seconds(2.5)) << "eight in each 320 ms would be 4 seconds";
  EXPECT_EQ(most, context_.limits.max_link_handshakes);
}

TEST_F(DeparturesTest, TheNextProcessKeepsHandshakesForItself) {
  context_.limits.max_link_handshakes = 6;
  Calls(5);
  Connect(web_);
  web_.Drain();
  EXPECT_EQ(Offers().size(), 3u);
}

// Each dial takes five seconds to fail: whoever has waited longest is next all the same.
TEST_F(DeparturesTest, ThoseWhosePeersDoNotAnswerHoldUpNobodyForEver) {
  constexpr int kStreams = 50;
  Calls(kStreams);
  Connect(web_);
  web_.Drain();
  std::set<StreamToken> offered;
  for (int second = 0; second < 40; second += 5) {
    const auto offers = Offers();
    for (const MoveMessage& each : offers) offered.insert(each.offer.token);
    Pass(absl::Seconds(5));
    for (const MoveMessage& each : offers) Say(MoveKind::kNo, each.id);
    Pass(absl::Milliseconds(100));
  }
  EXPECT_EQ(offered.size(), static_cast<size_t>(kStreams));
}

TEST_F(DeparturesTest, WhatIsRefusedAgainAndAgainIsOfferedLessAndLess) {
  Calls(1);
  Connect(web_);
  web_.Drain();
  size_t offers = 0;
  for (int tenth = 0; tenth < 300; ++tenth) {
    for (const MoveMessage& each : Offers()) {
      ++offers;
      Say(MoveKind::kNo, each.id);
    }
    Pass(absl::Milliseconds(100));
  }
  EXPECT_EQ(offers, 5u) << "at once, after 1, 2, 4 and 8 seconds, and then 16";
  EXPECT_TRUE(Echoes(0));
}

TEST_F(DeparturesTest, NothingIsOfferedToAProcessThatDoesNotRead) {
  Calls(1);
  Connect(api_);
  for (uint64_t id = 0; id < MoveLine::kMaxQueued / 2 + 5000; ++id) {
    api_.line().Send({.kind = MoveKind::kCancel, .id = id});
  }
  api_.Drain();
  Pass(absl::Milliseconds(100));
  EXPECT_EQ(api_.offered(), 0u);
  EXPECT_TRUE(api_.line().open());
  size_t offers = 0;
  for (int turn = 0; turn < 1000 && offers == 0; ++turn) {
    Pass(absl::Milliseconds(10));
    offers += Offers().size();
  }
  EXPECT_EQ(offers, 1u);
}

}  // namespace
}  // namespace lanyard
