// A stream whose next link is in another process: here the other process is a second stream, which takes the link once
// the first has left.
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/io/stream_contract_testing.h"
#include "proxy/link/link_testing.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {
namespace {

class DepartureTest : public testing::Test {
 protected:
  DepartureTest() {
    LinkPair pair = harness_.Links();
    std::tie(opener_, acceptor_) = harness_.Open(&pair);
    acceptor_->Accept(5);
    StreamReader reader(opener_.get());
    EXPECT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || opener_->answered(); }));
  }
  // A link from the opener's next process to the acceptor, which is attached there.
  void AttachFromNextOpener() {
    LinkPair pair = harness_.Links();
    harness_.far.Keep(std::move(pair.acceptor));
    next_ = std::move(pair.opener);
    asker_.vouched.reset();
    next_->Observe(&asker_);
    next_->Attach({opener_->token(), opener_->shard()});
    EXPECT_TRUE(harness_.TurnUntil([&] { return harness_.far.asked != nullptr; }));
    EXPECT_TRUE(acceptor_->Attach(std::move(harness_.far.asked), nullptr).ok());
    EXPECT_TRUE(harness_.TurnUntil([&] { return asker_.vouched.has_value(); }));
    EXPECT_TRUE(asker_.vouched->ok()) << *asker_.vouched;
    EXPECT_EQ(next_->state(), Link::State::kTaken);
    next_->Observe(nullptr);
  }
  // A link from the opener to the acceptor's next process, which waits for its word.
  void AttachAtNextAcceptor() {
    LinkPair pair = harness_.Links();
    harness_.far.Keep(std::move(pair.acceptor));
    EXPECT_TRUE(opener_->CarryOver(std::move(pair.opener), nullptr).ok());
    EXPECT_TRUE(harness_.TurnUntil([&] { return harness_.far.asked != nullptr; }));
    next_ = std::move(harness_.far.asked);
  }
  // Plays the owner of the stream that leaves: what it has read is written already.
  static bool Step(MeshStream* leaving) {
    if (leaving->awaits_quiet()) leaving->Quiet();
    return leaving->departed();
  }
  std::unique_ptr<MeshStream> Resume(const StreamState& state, LinkKeeper* keeper) {
    return MeshStream::Resumed(harness_.loop(), std::move(next_), state, keeper);
  }
  // 300 kB each way, and both ends.
  void ExpectWhole(MeshStream* opener, MeshStream* acceptor) {
    const std::string up = TestBytes(300000, 1), down = TestBytes(300000, 2);
    StreamWriter to_acceptor(opener, up), to_opener(acceptor, down);
    StreamReader at_opener(opener), at_acceptor(acceptor);
    EXPECT_TRUE(harness_.TurnUntil([&] {
      if (to_acceptor.Push()) opener->ShutdownWrite();
      if (to_opener.Push()) acceptor->ShutdownWrite();
      const bool one = at_opener.Drain(), two = at_acceptor.Drain();
      return one && two;
    }));
    EXPECT_TRUE(at_opener.bytes() == down && at_acceptor.bytes() == up);
    EXPECT_EQ(at_opener.last(), IoStatus::kEnd);
    EXPECT_EQ(at_acceptor.last(), IoStatus::kEnd);
  }

  LinkHarness harness_;
  LinkKeeper asker_;
  std::unique_ptr<MeshStream> opener_, acceptor_;
  std::unique_ptr<Link> next_;
};

TEST_F(DepartureTest, TheOpenersStreamGoesOnInTheNextProcess) {
  AttachFromNextOpener();
  ASSERT_TRUE(opener_->Depart().ok());
  EXPECT_FALSE(opener_->Depart().ok()) << "once is enough";
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return Step(opener_.get());
  }));
  uint8_t byte = 1;
  EXPECT_EQ(opener_->Write({&byte, 1}).status, IoStatus::kWouldBlock) << "what is written now would be lost";
  const StreamState state = opener_->Leave();
  EXPECT_NE(opener_->error(), StreamError::kNone);
  EXPECT_FALSE(state.sent_end || state.received_end);
  const auto resumed = Resume(state, &harness_.near);
  ExpectWhole(resumed.get(), acceptor_.get());
}

TEST_F(DepartureTest, TheAcceptorsStreamGoesOnInTheNextProcess) {
  AttachAtNextAcceptor();
  ASSERT_TRUE(acceptor_->Depart().ok());
  next_->AcceptAttach(3);
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return Step(acceptor_.get());
  }));
  const auto resumed = Resume(acceptor_->Leave(), &harness_.far);
  ExpectWhole(opener_.get(), resumed.get());
  EXPECT_EQ(opener_->shard(), 3u) << "the next one finds it where it is now";
}

TEST_F(DepartureTest, WhatTheOwnerHasReadLeavesBeforeSwitch) {
  AttachAtNextAcceptor();
  ASSERT_TRUE(acceptor_->Depart().ok());
  next_->AcceptAttach(3);
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return acceptor_->awaits_quiet();
  }));
  EXPECT_FALSE(acceptor_->departed());
  const std::string last = TestBytes(50000, 3);
  StreamWriter writer(acceptor_.get(), last);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    return writer.Push();
  }));
  ASSERT_TRUE(harness_.TurnUntil([&] { return Step(acceptor_.get()); }));
  const auto resumed = Resume(acceptor_->Leave(), &harness_.far);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    return at_opener.bytes().size() == last.size();
  }));
  EXPECT_TRUE(at_opener.bytes() == last);
  ExpectWhole(opener_.get(), resumed.get());
}

TEST_F(DepartureTest, EndsThatWereSaidAreNotSaidAgain) {
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return opener_->ShutdownWrite().status == IoStatus::kOk; }));
  ASSERT_TRUE(harness_.TurnUntil([&] { return at_acceptor.Drain(); }));
  AttachAtNextAcceptor();
  ASSERT_TRUE(acceptor_->Depart().ok());
  next_->AcceptAttach(3);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    return Step(acceptor_.get());
  }));
  const StreamState state = acceptor_->Leave();
  EXPECT_TRUE(state.received_end);
  EXPECT_FALSE(state.sent_end);
  const auto resumed = Resume(state, &harness_.far);
  uint8_t byte;
  EXPECT_EQ(resumed->Read({&byte, 1}).status, IoStatus::kEnd);
  const std::string text = TestBytes(300000, 4);
  StreamWriter writer(resumed.get(), text);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    if (writer.Push()) resumed->ShutdownWrite();
    return at_opener.Drain();
  }));
  EXPECT_TRUE(at_opener.bytes() == text);
  EXPECT_EQ(at_opener.last(), IoStatus::kEnd);
}

TEST_F(DepartureTest, BeforeSwitchItMayStay) {
  AttachFromNextOpener();
  ASSERT_TRUE(opener_->Depart().ok());
  EXPECT_TRUE(opener_->departing());
  opener_->Stay("the next process is gone");
  next_.reset();
  EXPECT_FALSE(opener_->departing());
  EXPECT_EQ(opener_->error(), StreamError::kNone);
  ExpectWhole(opener_.get(), acceptor_.get());
}

// The acceptor would take the link that came last for the one in use.
TEST_F(DepartureTest, WhileAnotherProcessMayAttachItIsNotCarriedOverHere) {
  opener_->Promise(harness_.loop()->now() + absl::Seconds(1));
  LinkPair pair = harness_.Links();
  EXPECT_TRUE(absl::IsFailedPrecondition(opener_->CarryOver(std::move(pair.opener), nullptr)));
  EXPECT_EQ(harness_.near.taken_back, 1);
  const absl::Duration later_on = harness_.loop()->now() + absl::Seconds(2);
  ASSERT_TRUE(harness_.TurnUntil([&] { return harness_.loop()->now() > later_on; }));
  LinkPair later = harness_.Links();
  harness_.far.Keep(std::move(later.acceptor));
  EXPECT_TRUE(opener_->CarryOver(std::move(later.opener), nullptr).ok());
}

TEST_F(DepartureTest, AfterSwitchItFailsWithTheNextProcess) {
  AttachAtNextAcceptor();
  ASSERT_TRUE(acceptor_->Depart().ok());
  next_->AcceptAttach(3);
  StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return acceptor_->awaits_quiet();
  }));
  acceptor_->Stay("the next process is gone");
  EXPECT_EQ(acceptor_->error(), StreamError::kCarryOverFailed);
  next_.reset();
  EXPECT_TRUE(harness_.TurnUntil([&] { return at_opener.Drain(); }));
  EXPECT_EQ(at_opener.last(), IoStatus::kError);
}

// Nobody reads at the far end, so that no PONG comes.
TEST_F(DepartureTest, AStreamThatIsNotReadStaysAndMayTryAgain) {
  AttachFromNextOpener();
  ASSERT_TRUE(opener_->Depart().ok());
  StreamReader at_opener(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    EXPECT_FALSE(Step(opener_.get()));
    at_opener.Drain();
    return !opener_->departing();
  }));
  EXPECT_EQ(opener_->error(), StreamError::kNone);
  next_.reset();
  StreamReader at_acceptor(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return !opener_->link()->awaits_pong();
  }));
  AttachFromNextOpener();
  ASSERT_TRUE(opener_->Depart().ok());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    at_opener.Drain();
    at_acceptor.Drain();
    return Step(opener_.get());
  }));
  const auto resumed = Resume(opener_->Leave(), &harness_.near);
  ExpectWhole(resumed.get(), acceptor_.get());
}

}  // namespace
}  // namespace lanyard
