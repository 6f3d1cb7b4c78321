#include "proxy/connection/relay.h"

#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/fake_stream.h"
#include "proxy/io/stream_contract_testing.h"

namespace lanyard {
namespace {

constexpr size_t kBufferBytes = 4096;

// Counts how often the stream below is read; may say each time that nothing more is there.
class CountedStream : public Stream, private StreamObserver {
 public:
  explicit CountedStream(Stream* lower) : lower_(lower) { lower_->set_observer(this); }
  IoResult Open() override { return lower_->Open(); }
  IoResult Read(absl::Span<uint8_t> into) override {
    ++reads;
    IoResult result = lower_->Read(into);
    result.drained = says_drained && result.status == IoStatus::kOk;
    return result;
  }
  IoResult Write(absl::Span<const uint8_t> from) override { return lower_->Write(from); }
  IoResult Flush() override { return lower_->Flush(); }
  IoResult ShutdownWrite() override { return lower_->ShutdownWrite(); }
  void Reset() override { lower_->Reset(); }
  StreamError error() const override { return lower_->error(); }
  std::string error_text() const override { return lower_->error_text(); }

  int reads = 0;
  bool says_drained = false;

 private:
  void OnReady() override {
    if (observer_ != nullptr) observer_->OnReady();
  }
  Stream* lower_;
};

// client <-> near | relay | far <-> server
class RelayTest : public testing::Test, protected StreamObserver {
 protected:
  RelayTest() {
    std::tie(client_, near_) = FakeStream::Pair(loop_.get(), 10000);
    std::tie(far_, server_) = FakeStream::Pair(loop_.get(), 10000);
    relay_.emplace(loop_.get(), &pool_, &budget_, kBufferBytes, near_.get(), far_.get(), [this] { OnReady(); });
  }
  void OnReady() override {
    if (state_ == RelayState::kRunning) state_ = relay_->Pump();
    most_lent_ = std::max(most_lent_, pool_.lent());
  }
  bool TurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 20000 && !done(); ++turn) loop_->RunOnce(absl::Milliseconds(1));
    return done();
  }
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  BufferPool pool_{kBufferBytes};
  BufferBudget budget_{&pool_, 1 << 20, 1, [] {}};
  std::unique_ptr<FakeStream> client_, near_, far_, server_;
  std::optional<Relay> relay_;
  RelayState state_ = RelayState::kRunning;
  size_t most_lent_ = 0;
};

TEST_F(RelayTest, AWayThatIsHeldIsReadNoMoreAndWritesWhatItHas) {
  OnReady();
  relay_->Hold(Relay::Way::kForward, true);
  const std::string request = TestBytes(5000, 1), answer = TestBytes(5000, 2);
  StreamWriter ask(client_.get(), request), reply(server_.get(), answer);
  StreamReader at_server(server_.get()), at_client(client_.get());
  ASSERT_TRUE(TurnUntil([&] {
    ask.Push();
    reply.Push();
    at_client.Drain();
    return at_client.bytes() == answer;
  }));
  at_server.Drain();
  EXPECT_EQ(at_server.bytes(), "");
  EXPECT_TRUE(relay_->Empty(Relay::Way::kForward));
  relay_->Hold(Relay::Way::kForward, false);
  ASSERT_TRUE(TurnUntil([&] {
    if (ask.Push()) client_->ShutdownWrite();
    return at_server.Drain();
  }));
  EXPECT_TRUE(at_server.bytes() == request);
  EXPECT_TRUE(relay_->Told(Relay::Way::kForward));
  EXPECT_FALSE(relay_->Told(Relay::Way::kBackward));
}

TEST_F(RelayTest, CarriesBothWaysAndEachHalfCloseByItself) {
  const std::string request = TestBytes(100000, 1), answer = TestBytes(70000, 2);
  StreamWriter ask(client_.get(), request), reply(server_.get(), answer);
  StreamReader at_server(server_.get()), at_client(client_.get());
  ASSERT_TRUE(TurnUntil([&] {
    if (ask.Push()) client_->ShutdownWrite();
    return at_server.Drain();
  }));
  EXPECT_TRUE(at_server.bytes() == request);
  EXPECT_EQ(at_server.last(), IoStatus::kEnd);
  EXPECT_EQ(state_, RelayState::kRunning) << "the other half is open";
  ASSERT_TRUE(TurnUntil([&] {
    if (reply.Push()) server_->ShutdownWrite();
    return at_client.Drain();
  }));
  EXPECT_TRUE(at_client.bytes() == answer);
  ASSERT_TRUE(TurnUntil([&] { return state_ == RelayState::kFinished; }));
  EXPECT_EQ(relay_->bytes_forward(), request.size());
  EXPECT_EQ(relay_->bytes_backward(), answer.size());
  EXPECT_EQ(pool_.lent(), 0u);
}

TEST_F(RelayTest, SurvivesShortReadsAndWritesOnEverySide) {
  for (FakeStream* stream : {client_.get(), near_.get(), far_.get(), server_.get()}) {
    stream->faults().most_read = 613;
    stream->faults().most_write = 389;
  }
  const std::string text = TestBytes(50000, 3);
  StreamWriter there(client_.get(), text), back(server_.get(), text);
  StreamReader at_server(server_.get()), at_client(client_.get());
  ASSERT_TRUE(TurnUntil([&] {
    there.Push();
    back.Push();
    at_server.Drain();
    at_client.Drain();
    return at_server.bytes().size() == text.size() && at_client.bytes().size() == text.size();
  }));
  EXPECT_TRUE(at_server.bytes() == text);
  EXPECT_TRUE(at_client.bytes() == text);
}

TEST_F(RelayTest, ASlowReaderStopsItsWriterAndHoldsOneBuffer) {
  server_->faults().stall_reads = true;
  const std::string text = TestBytes(1 << 20, 4);
  StreamWriter writer(client_.get(), text);
  for (int turn = 0; turn < 2000; ++turn) {
    writer.Push();
    loop_->RunOnce(absl::Milliseconds(1));
  }
  EXPECT_EQ(most_lent_, 1u);
  EXPECT_LE(relay_->bytes_forward(), 10000u) << "what the far side's own buffer holds";
  server_->faults().stall_reads = false;
  StreamReader reader(server_.get());
  ASSERT_TRUE(TurnUntil([&] {
    writer.Push();
    reader.Drain();
    return reader.bytes().size() == text.size();
  }));
  EXPECT_TRUE(reader.bytes() == text);
}

TEST_F(RelayTest, WithoutABudgetItIsReadALittleAtATimeAndLosesNothing) {
  relay_.reset();
  int cut = 0;
  BufferBudget none(&pool_, 0, 0, [&] { ++cut; });
  relay_.emplace(loop_.get(), &pool_, &none, kBufferBytes, near_.get(), far_.get(), [this] { OnReady(); });
  server_->faults().stall_reads = true;
  const std::string text = TestBytes(100000, 6);
  StreamWriter writer(client_.get(), text);
  for (int turn = 0; turn < 200; ++turn) {
    writer.Push();
    loop_->RunOnce(absl::Milliseconds(1));
  }
  EXPECT_GT(cut, 0);
  EXPECT_EQ(none.held_bytes(), 0u) << "no more than what is set aside for it";
  server_->faults().stall_reads = false;
  server_->Wake();
  StreamReader reader(server_.get());
  ASSERT_TRUE(TurnUntil([&] {
    writer.Push();
    reader.Drain();
    return reader.bytes().size() == text.size();
  }));
  EXPECT_TRUE(reader.bytes() == text);
  relay_.reset();
}

TEST_F(RelayTest, WhatASlowReaderHoldsIsCountedUntilItIsTakenOrTheRelayEnds) {
  server_->faults().stall_reads = true;
  StreamWriter writer(client_.get(), TestBytes(1 << 16, 7));
  for (int turn = 0; turn < 200; ++turn) {
    writer.Push();
    loop_->RunOnce(absl::Milliseconds(1));
  }
  EXPECT_GT(budget_.held_bytes(), 0u);
  EXPECT_LT(budget_.held_bytes(), kBufferBytes);
  relay_.reset();
  EXPECT_EQ(budget_.held_bytes(), 0u);
}

TEST_F(RelayTest, KnowsWhenOnlyOneHalfIsOpen) {
  StreamWriter writer(client_.get(), "x");
  writer.Push();
  OnReady();
  EXPECT_TRUE(relay_->times().carried_bytes);
  EXPECT_FALSE(relay_->times().half_closed);
  client_->ShutdownWrite();
  ASSERT_TRUE(TurnUntil([&] { return relay_->times().half_closed; }));
  EXPECT_EQ(state_, RelayState::kRunning);
  server_->ShutdownWrite();
  ASSERT_TRUE(TurnUntil([&] { return state_ == RelayState::kFinished; }));
}

TEST_F(RelayTest, OneFlowTakesABoundedShareOfATurn) {
  relay_.reset();
  std::tie(client_, near_) = FakeStream::Pair(loop_.get(), 1 << 20);
  std::tie(far_, server_) = FakeStream::Pair(loop_.get(), 1 << 20);
  int again = 0;
  relay_.emplace(loop_.get(), &pool_, &budget_, kBufferBytes, near_.get(), far_.get(), [&] { ++again; });
  near_->set_observer(nullptr);  // nobody speaks
  far_->set_observer(nullptr);
  StreamWriter writer(client_.get(), TestBytes(1 << 19, 5));
  writer.Push();
  EXPECT_EQ(relay_->Pump(), RelayState::kRunning);
  EXPECT_EQ(relay_->bytes_forward(), Relay::kBuffersPerTurn * kBufferBytes);
  ASSERT_TRUE(TurnUntil([&] { return again == 1; })) << "it asks for the rest by itself";
}

TEST_F(RelayTest, OnlyASideThatSpokeIsReadAndOnceIfThatWasAll) {
  relay_.reset();
  CountedStream near(near_.get()), far(far_.get());
  relay_.emplace(loop_.get(), &pool_, &budget_, kBufferBytes, &near, &far, [this] { OnReady(); });
  OnReady();
  for (const bool says_drained : {false, true}) {
    near.says_drained = says_drained;
    near.reads = far.reads = 0;
    const uint64_t before = relay_->bytes_forward();
    StreamWriter writer(client_.get(), "x");
    writer.Push();
    loop_->RunOnce(absl::Milliseconds(1));
    EXPECT_EQ(relay_->bytes_forward(), before + 1);
    EXPECT_EQ(far.reads, 0);
    EXPECT_EQ(near.reads, says_drained ? 1 : 2) << "the second time to learn that this was all";
    for (int turn = 0; turn < 10; ++turn) loop_->RunOnce(absl::Milliseconds(1));
  }
  StreamWriter reply(server_.get(), "answer");
  reply.Push();
  StreamReader reader(client_.get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain() || reader.bytes() == "answer"; }));
  relay_.reset();
}

TEST_F(RelayTest, SaysWhichSideFailed) {
  client_->Reset();
  ASSERT_TRUE(TurnUntil([&] { return state_ != RelayState::kRunning; }));
  EXPECT_EQ(state_, RelayState::kNearFailed);
  EXPECT_EQ(near_->error(), StreamError::kReset);
}

TEST_F(RelayTest, AFailedWriteIsTheFailureOfItsReceiver) {
  far_->faults().stall_reads = true;
  server_->Reset();
  far_->faults().stall_reads = false;
  StreamWriter writer(client_.get(), "x");
  writer.Push();
  ASSERT_TRUE(TurnUntil([&] { return state_ != RelayState::kRunning; }));
  EXPECT_EQ(state_, RelayState::kFarFailed);
}

TEST_F(RelayTest, WritesFirstWhatWasReadBeforeIt) {
  Buffer early(&pool_, kBufferBytes);
  std::copy_n("early ", 6, early.space().begin());
  early.Produced(6);
  relay_->Preload(early);
  StreamWriter writer(client_.get(), "late");
  writer.Push();
  OnReady();
  StreamReader reader(server_.get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain() || reader.bytes().size() == 10; }));
  EXPECT_EQ(reader.bytes(), "early late");
}

TEST_F(RelayTest, ThePrefaceLeadsThoughNearSaysNothingAndIsNotCounted) {
  relay_->Preface("who calls ");
  OnReady();
  StreamReader at_server(server_.get());
  ASSERT_TRUE(TurnUntil([&] {
    at_server.Drain();
    return at_server.bytes() == "who calls ";
  }));
  StreamWriter greet(server_.get(), "220 ready");
  StreamReader at_client(client_.get());
  ASSERT_TRUE(TurnUntil([&] {
    greet.Push();
    at_client.Drain();
    return at_client.bytes() == "220 ready";
  }));
  EXPECT_EQ(relay_->bytes_forward(), 0u);
}

TEST_F(RelayTest, ThePrefaceComesBeforeWhatWasReadAndBeforeTheEnd) {
  Buffer received(&pool_);
  received.space()[0] = 'x';
  received.Produced(1);
  relay_->Preload(received);
  relay_->Preface("who calls ");
  far_->faults().most_write = 3;
  client_->ShutdownWrite();
  OnReady();
  StreamReader at_server(server_.get());
  ASSERT_TRUE(TurnUntil([&] { return at_server.Drain(); }));
  EXPECT_EQ(at_server.bytes(), "who calls x");
  EXPECT_EQ(at_server.last(), IoStatus::kEnd);
  EXPECT_EQ(relay_->bytes_forward(), 1u);
}

TEST_F(RelayTest, WhatCannotBeToldWaitsAndHoldsTheRestBack) {
  relay_->Preface("who calls ");
  far_->faults().stall_writes = true;
  ASSERT_TRUE(StreamWriter(client_.get(), "hello").Push());
  client_->ShutdownWrite();
  OnReady();
  StreamReader at_server(server_.get());
  for (int turn = 0; turn < 20; ++turn) loop_->RunOnce(absl::Milliseconds(1));
  EXPECT_FALSE(at_server.Drain());
  far_->faults().stall_writes = false;
  far_->Wake();
  ASSERT_TRUE(TurnUntil([&] { return at_server.Drain(); }));
  EXPECT_EQ(at_server.bytes(), "who calls hello");
}

TEST_F(RelayTest, AFarSideThatFailsAtThePrefaceIsSeen) {
  relay_->Preface("who calls ");
  server_->Reset();
  EXPECT_TRUE(TurnUntil([&] {
    OnReady();
    return state_ == RelayState::kFarFailed;
  }));
}

}  // namespace
}  // namespace lanyard
