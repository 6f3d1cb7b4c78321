// Streams that are carried over to another link, over real TLS: under load, half-closed, and with links that fail.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/link/link_testing.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {
namespace {

class CarryOverTest : public testing::Test {
 protected:
  CarryOverTest() : CarryOverTest(FakeStream::Faults{}) {}
  explicit CarryOverTest(FakeStream::Faults faults) : harness_(faults, 20000) {
    LinkPair pair = harness_.Links();
    old_ = {nullptr, nullptr, pair.opener_lower, pair.acceptor_lower};
    std::tie(opener_, acceptor_) = harness_.Open(&pair);
    acceptor_->Accept(5);
    StreamReader reader(opener_.get());
    EXPECT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || opener_->answered(); }));
  }

  // Starts, with the acceptor's side played by Step.
  absl::Status Carry(const std::shared_ptr<const TlsContext>& opener = LinkIds().web,
                     const std::shared_ptr<const TlsContext>& acceptor = LinkIds().api) {
    LinkPair pair = harness_.Links(opener, acceptor);
    next_ = {nullptr, nullptr, pair.opener_lower, pair.acceptor_lower};
    opener_told_ = acceptor_told_ = std::nullopt;
    harness_.far.Keep(std::move(pair.acceptor));
    return opener_->CarryOver(std::move(pair.opener), [this](absl::Status status) { opener_told_ = status; });
  }
  void Step() {
    if (harness_.far.asked == nullptr || !harness_.far.attach) return;
    EXPECT_EQ(harness_.far.attach->token, acceptor_->token());
    EXPECT_EQ(harness_.far.attach->shard, 5u);
    harness_.far.attach.reset();
    attach_ =
        acceptor_->Attach(std::move(harness_.far.asked), [this](absl::Status status) { acceptor_told_ = status; });
  }
  bool Told() const { return opener_told_.has_value() && acceptor_told_.has_value(); }
  bool Until(const std::function<bool()>& done) {
    return harness_.TurnUntil([&] {
      Step();
      return done();
    });
  }
  void CarryHalfClosed(MeshStream* first, MeshStream* second);
  // Ends both directions and reads to the end; true if both ended well.
  bool Finish(StreamReader* at_opener, StreamReader* at_acceptor) {
    return Until([&] {
             opener_->ShutdownWrite();
             acceptor_->ShutdownWrite();
             const bool one = at_opener->Drain(), two = at_acceptor->Drain();
             return one && two;
           }) &&
           at_opener->last() == IoStatus::kEnd && at_acceptor->last() == IoStatus::kEnd;
  }

  LinkHarness harness_;
  LinkPair old_, next_;  // only the faults' handles
  std::unique_ptr<MeshStream> opener_, acceptor_;
  std::optional<absl::Status> opener_told_, acceptor_told_;
  absl::Status attach_;
};

class CarryOverShortTest : public CarryOverTest {
 protected:
  CarryOverShortTest() : CarryOverTest(Short()) {}
  static FakeStream::Faults Short() {
    FakeStream::Faults faults;
    faults.most_read = 1999;
    faults.most_write = 3001;
    return faults;
  }
};

TEST_F(CarryOverShortTest, AgainAndAgainUnderLoadBothWays) {
  const std::string rightward = TestBytes(6 << 20, 1), leftward = TestBytes(5 << 20, 2);
  StreamWriter from_opener(opener_.get(), rightward), from_acceptor(acceptor_.get(), leftward);
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  int carried = 0;
  ASSERT_TRUE(Carry().ok());
  ASSERT_TRUE(Until([&] {
    if (Told()) {
      EXPECT_TRUE(opener_told_->ok() && acceptor_told_->ok());
      ++carried;
      EXPECT_TRUE(Carry().ok());
    }
    from_opener.Push();
    from_acceptor.Push();
    at_opener.Drain();
    at_acceptor.Drain();
    return at_acceptor.bytes().size() >= rightward.size() && at_opener.bytes().size() >= leftward.size();
  }));
  EXPECT_GT(carried, 20);
  EXPECT_TRUE(at_acceptor.bytes() == rightward);
  EXPECT_TRUE(at_opener.bytes() == leftward);
  ASSERT_TRUE(Until([&] { return Told() || (at_opener.Drain(), at_acceptor.Drain(), false); }));
  ASSERT_TRUE(Finish(&at_opener, &at_acceptor));
  opener_.reset();
  acceptor_.reset();
  // Every old link ended in good order; the last one is idle on both sides.
  ASSERT_TRUE(Until([&] { return harness_.near.links.size() == 1 && harness_.far.links.size() == 1; }));
  EXPECT_EQ(harness_.near.closed, carried + 1);
  EXPECT_EQ(harness_.near.last_error, StreamError::kNone);
  EXPECT_EQ(harness_.far.last_error, StreamError::kNone);
  EXPECT_TRUE(harness_.near.links.front()->idle() && harness_.far.links.front()->idle());
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(CarryOverTest, AQuietStreamNeedsNoData) {
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(Carry().ok());
  EXPECT_TRUE(opener_->carrying_over());
  ASSERT_TRUE(Until([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return Told();
  }));
  EXPECT_TRUE(opener_told_->ok()) << *opener_told_;
  EXPECT_FALSE(opener_->carrying_over());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

// `first` has ended; nobody reads any more at `second`.
void CarryOverTest::CarryHalfClosed(MeshStream* first, MeshStream* second) {
  StreamReader at_first(first), at_second(second);
  ASSERT_TRUE(Until([&] { return first->ShutdownWrite().status == IoStatus::kOk; }));
  ASSERT_TRUE(Until([&] { return at_second.Drain(); }));
  ASSERT_TRUE(Carry().ok());
  ASSERT_TRUE(Until([&] {
    at_first.Drain();
    return Told();
  }));
  EXPECT_TRUE(opener_told_->ok() && acceptor_told_->ok());
  const std::string text = TestBytes(300000, 3);
  StreamWriter writer(second, text);
  ASSERT_TRUE(Until([&] {
    if (writer.Push()) second->ShutdownWrite();
    return at_first.Drain();
  }));
  EXPECT_TRUE(at_first.bytes() == text);
  EXPECT_EQ(at_first.last(), IoStatus::kEnd);
}

TEST_F(CarryOverTest, AStreamWhoseOpenerHasEndedIsCarriedOver) { CarryHalfClosed(opener_.get(), acceptor_.get()); }

TEST_F(CarryOverTest, AStreamWhoseAcceptorHasEndedIsCarriedOver) { CarryHalfClosed(acceptor_.get(), opener_.get()); }

TEST_F(CarryOverTest, AnotherIdentityIsRefusedAtBothEnds) {
  EXPECT_EQ(Carry(LinkIds().web, LinkIds().other).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(opener_->carrying_over());
  ASSERT_TRUE(Carry(LinkIds().other).ok()) << "the opener cannot know what the acceptor will say of it";
  ASSERT_TRUE(Until([&] { return opener_told_.has_value(); }));
  EXPECT_EQ(attach_.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(opener_told_->message(),
            "the far proxy refused to carry the stream over: the stream belongs to another identity: the new link's "
            "peer is spiffe://example.org/other, the stream's is spiffe://example.org/web");
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor)) << "the stream goes on where it is";
}

TEST_F(CarryOverTest, AnUnknownTokenIsRefusedAndTheLinkIsIdleAgain) {
  ASSERT_TRUE(Carry().ok());
  ASSERT_TRUE(harness_.TurnUntil([&] { return harness_.far.asked != nullptr; }));
  harness_.far.asked->RefuseAttach(RefuseReason::kUnknownStream, "");
  harness_.far.Keep(std::move(harness_.far.asked));
  ASSERT_TRUE(Until([&] { return opener_told_.has_value(); }));
  EXPECT_EQ(opener_told_->code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(harness_.near.TakeIdle(), nullptr);
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

TEST_F(CarryOverTest, ALinkThatFailsBeforeTheSwitchDoesNoHarm) {
  ASSERT_TRUE(Carry().ok());
  next_.opener_lower->Reset();
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return opener_told_.has_value(); }));
  EXPECT_EQ(opener_told_->code(), absl::StatusCode::kUnavailable);
  harness_.far.attach.reset();
  harness_.far.asked.reset();
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return !opener_->link()->awaits_pong();
  }));
  ASSERT_TRUE(Carry().ok()) << "another may be tried";
  ASSERT_TRUE(Until([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return Told();
  }));
  EXPECT_TRUE(opener_told_->ok());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

TEST_F(CarryOverTest, AnAcceptorThatDoesNotAnswerIsGivenUpAfterTheDeadline) {
  ASSERT_TRUE(Carry().ok());
  const absl::Duration start = harness_.loop()->now();
  ASSERT_TRUE(harness_.TurnUntil([&] { return opener_told_.has_value(); }));
  EXPECT_EQ(opener_told_->code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(harness_.loop()->now() - start, MeshStream::kAttachDeadline);
  EXPECT_FALSE(opener_->carrying_over());
  harness_.far.attach.reset();
  harness_.far.asked.reset();
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

TEST_F(CarryOverTest, OnlyOneAtATime) {
  ASSERT_TRUE(Carry().ok());
  EXPECT_EQ(Carry().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(harness_.near.links.size() == 1 && harness_.near.links.front()->idle()) << "the second link is left";
}

TEST_F(CarryOverTest, AnAcceptorAsksForIt) {
  acceptor_->GoAway(GoAwayReason::kRotated);
  StreamReader reader(opener_.get());
  ASSERT_TRUE(Until([&] { return reader.Drain() || opener_->peer_going_away().has_value(); }));
  EXPECT_EQ(opener_->peer_going_away(), GoAwayReason::kRotated);
}

// It speaks of what was sent before its PING, and SWITCH would wait behind all that came since.
TEST_F(CarryOverTest, AnOldPongDoesNotSayThatTheStreamIsReadNow) {
  const std::string text = TestBytes(400000, 9);
  StreamWriter writer(opener_.get(), text);
  for (int turn = 0; turn < 300; ++turn) {
    writer.Push();
    harness_.loop()->RunOnce(absl::ZeroDuration());
  }
  ASSERT_TRUE(Carry().ok()) << "its PING waits behind what nobody reads";
  ASSERT_TRUE(Until([&] { return opener_told_.has_value(); }));
  ASSERT_FALSE(opener_told_->ok());
  harness_.far.attach.reset();
  EXPECT_EQ(Carry().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(opener_->carrying_over());
}

// What one side of a stream has sent fills everything between, because the other side's application does not read.
TEST_F(CarryOverTest, AStreamThatIsNotReadStaysWhereItIsAndIsVouchedFor) {
  for (const bool opener_reads : {true, false}) {
    MeshStream* const reader = opener_reads ? opener_.get() : acceptor_.get();
    MeshStream* const stalled = opener_reads ? acceptor_.get() : opener_.get();
    const std::string text = TestBytes(400000, 5);
    StreamWriter writer(reader, text);
    StreamReader at_reader(reader);
    for (int turn = 0; turn < 300; ++turn) {
      writer.Push();
      harness_.loop()->RunOnce(absl::ZeroDuration());
    }
    ASSERT_TRUE(Carry().ok());
    ASSERT_TRUE(Until([&] {
      at_reader.Drain();
      return opener_told_.has_value();
    }));
    EXPECT_EQ(opener_told_->code(), absl::StatusCode::kUnavailable);
    EXPECT_FALSE(opener_->carrying_over());
    LinkPair fresh = harness_.Links();
    EXPECT_TRUE(opener_->Vouched(*fresh.opener).ok());
    EXPECT_TRUE(acceptor_->Vouched(*fresh.acceptor).ok());
    EXPECT_EQ(opener_->peer(), fresh.opener->peer());
    EXPECT_EQ(sk_CRYPTO_BUFFER_num(opener_->peer_chain()),
              sk_CRYPTO_BUFFER_num(SSL_get0_peer_certificates(fresh.opener->ssl())));
    fresh.opener.reset();
    EXPECT_NE(sk_CRYPTO_BUFFER_num(opener_->peer_chain()), 0u) << "outlives the link that vouched";
    StreamReader at_stalled(stalled);
    ASSERT_TRUE(Until([&] {
      writer.Push();
      at_stalled.Drain();
      at_reader.Drain();
      return at_stalled.bytes().size() == text.size();
    }));
    EXPECT_TRUE(at_stalled.bytes() == text);
    harness_.far.attach.reset();
    ASSERT_TRUE(Carry().ok()) << "now that it is read";
    ASSERT_TRUE(Until([&] {
      at_stalled.Drain();
      at_reader.Drain();
      return Told();
    }));
    EXPECT_TRUE(opener_told_->ok()) << *opener_told_;
    EXPECT_EQ(opener_->peer(), opener_->link()->peer()) << "the newest link is the one in use again";
  }
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

TEST_F(CarryOverTest, WhileOneDirectionIsNotReadTheOtherGoesOn) {
  const std::string text = TestBytes(400000, 6), other = TestBytes(300000, 7);
  StreamWriter stuck(acceptor_.get(), text), flowing(opener_.get(), other);
  StreamReader at_acceptor(acceptor_.get());
  for (int turn = 0; turn < 300; ++turn) {
    stuck.Push();
    harness_.loop()->RunOnce(absl::ZeroDuration());
  }
  ASSERT_TRUE(Carry().ok());
  const absl::Duration start = harness_.loop()->now();
  ASSERT_TRUE(Until([&] {
    const bool sent = flowing.Push();
    at_acceptor.Drain();
    return sent && at_acceptor.bytes().size() == other.size();
  }));
  EXPECT_LT(harness_.loop()->now() - start, MeshStream::kAttachDeadline);
  EXPECT_TRUE(opener_->carrying_over()) << "it waits, and nobody waits for it";
  StreamReader at_opener(opener_.get());
  ASSERT_TRUE(Until([&] {
    stuck.Push();
    at_opener.Drain();
    at_acceptor.Drain();
    return at_opener.bytes().size() == text.size() && Told();
  }));
  EXPECT_TRUE(opener_told_->ok());
  EXPECT_TRUE(at_opener.bytes() == text);
  EXPECT_TRUE(Finish(&at_opener, &at_acceptor));
}

TEST_F(CarryOverTest, AnotherIdentityCannotVouch) {
  LinkPair pair = harness_.Links(LinkIds().other, LinkIds().other);
  EXPECT_EQ(acceptor_->Vouched(*pair.acceptor).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(opener_->Vouched(*pair.opener).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(acceptor_->peer()->id.ToString(), "spiffe://example.org/web");
}

TEST_F(CarryOverTest, AnAcceptorThatTakesAStreamAndNeverSwitchesIsGivenUp) {
  ASSERT_TRUE(Carry().ok());
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(Until([&] {
    at_opener.Drain();
    if (!acceptor_->carrying_over()) at_acceptor.Drain();
    return acceptor_->carrying_over();
  }));
  at_acceptor.Drain();  // the PING, and nothing after it: the acceptor is stopped from here on
  const absl::Duration start = harness_.loop()->now();
  for (int turn = 0; turn < 100 && !at_opener.Drain(); ++turn) harness_.loop()->RunOnce(absl::Minutes(1));
  EXPECT_EQ(opener_->error(), StreamError::kCarryOverTimedOut);
  EXPECT_EQ(opener_->error_text(), "the far proxy did not finish carrying the stream over within 10m");
  EXPECT_GE(harness_.loop()->now() - start, MeshStream::kSwitchDeadline);
}

// Both links, at any turn of a carry-over under load: what arrives is always the beginning of what was sent, and an end
// only follows all of it.
TEST_F(CarryOverTest, AFailureAtAnyMomentIsNeverACleanEndNorAWrongByte) {
  int failed = 0, survived = 0;
  for (int round = 0; round < 240; ++round) {
    LinkPair pair = harness_.Links();
    old_ = {nullptr, nullptr, pair.opener_lower, pair.acceptor_lower};
    std::tie(opener_, acceptor_) = harness_.Open(&pair);
    acceptor_->Accept(5);
    const std::string text = TestBytes(90000, static_cast<uint32_t>(round));
    StreamWriter from_opener(opener_.get(), text), from_acceptor(acceptor_.get(), text);
    StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
    ASSERT_TRUE(Until([&] { return at_opener.Drain() || opener_->answered(); }));
    ASSERT_TRUE(Carry().ok());
    bool one = false, two = false, cut = false;
    int turn = 0;
    ASSERT_TRUE(Until([&] {
      if (turn++ == round / 4 && !std::exchange(cut, true)) {
        LinkPair& which = round % 2 == 0 ? old_ : next_;
        // The link may be gone by now; then there is nothing left to break.
        const bool lives = which.opener_lower == old_.opener_lower ? opener_->carrying_over() : true;
        if (lives && opener_->error() == StreamError::kNone && !opener_told_) {
          (round % 4 < 2 ? which.opener_lower : which.acceptor_lower)->Reset();
        }
      }
      if (from_opener.Push()) opener_->ShutdownWrite();
      if (from_acceptor.Push()) acceptor_->ShutdownWrite();
      one = one || at_opener.Drain();
      two = two || at_acceptor.Drain();
      return one && two;
    })) << "round " << round;
    for (StreamReader* reader : {&at_opener, &at_acceptor}) {
      ASSERT_EQ(text.compare(0, reader->bytes().size(), reader->bytes()), 0) << "round " << round;
      const bool ended = reader->last() == IoStatus::kEnd;
      ASSERT_TRUE(!ended || reader->bytes().size() == text.size()) << "round " << round;
      ++(ended ? survived : failed);
    }
    opener_.reset();
    acceptor_.reset();
    harness_.far.asked.reset();
    harness_.far.attach.reset();
  }
  EXPECT_GT(failed, 20);
  EXPECT_GT(survived, 20);
}

}  // namespace
}  // namespace lanyard
