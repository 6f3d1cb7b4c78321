#include "proxy/link/mesh_stream.h"

#include <string>
#include <tuple>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/link/link_testing.h"

namespace lanyard {
namespace {

std::unique_ptr<StreamHarness> Plain() { return std::make_unique<LinkHarness>(); }
std::unique_ptr<StreamHarness> OverShortReads() {
  FakeStream::Faults faults;
  faults.most_read = 4999;
  faults.most_write = 7001;
  return std::make_unique<LinkHarness>(faults);
}
std::unique_ptr<StreamHarness> OpenerOnTheRight() {
  struct Swapped : LinkHarness {
    StreamEnds Connect() override {
      StreamEnds ends = LinkHarness::Connect();
      std::swap(ends.left, ends.right);
      return ends;
    }
  };
  return std::make_unique<Swapped>();
}
INSTANTIATE_TEST_SUITE_P(Mesh, StreamContract, testing::Values(Plain, OverShortReads, OpenerOnTheRight));

// Counts the writes that reach the stream below.
class CountingStream : public Stream, private StreamObserver {
 public:
  explicit CountingStream(std::unique_ptr<Stream> lower) : lower_(std::move(lower)) { lower_->set_observer(this); }
  IoResult Open() override { return lower_->Open(); }
  IoResult Read(absl::Span<uint8_t> into) override { return lower_->Read(into); }
  IoResult Write(absl::Span<const uint8_t> from) override {
    ++writes;
    return lower_->Write(from);
  }
  IoResult Flush() override { return lower_->Flush(); }
  IoResult ShutdownWrite() override { return lower_->ShutdownWrite(); }
  void Reset() override { lower_->Reset(); }
  StreamError error() const override { return lower_->error(); }
  std::string error_text() const override { return lower_->error_text(); }

  int writes = 0;

 private:
  void OnReady() override {
    if (observer_ != nullptr) observer_->OnReady();
  }
  std::unique_ptr<Stream> lower_;
};

TEST(MeshStreamBatching, OpenAndDataAndSixtyFourKilobytesLeaveInOneWriteEach) {
  LinkHarness harness;
  auto [left, right] = FakeStream::Pair(harness.loop(), 1 << 20);
  auto counting = std::make_unique<CountingStream>(std::move(left));
  CountingStream* lower = counting.get();
  auto client = std::make_unique<TlsStream>(std::move(counting), LinkIds().web->NewClient(), &harness.pool);
  TlsStream server(std::move(right), LinkIds().api->NewServer(), &harness.pool);
  ASSERT_TRUE(harness.TurnUntil([&] {
    const IoStatus one = client->Open().status, two = server.Open().status;
    return one == IoStatus::kOk && two == IoStatus::kOk;
  }));
  auto link = std::make_unique<Link>(harness.loop(), std::move(client), LinkRole::kOpener, LinkIds().web);
  auto stream = MeshStream::Open(harness.loop(), std::move(link), {TestToken(1), "10.0.0.7:80", ""}, &harness.near);
  lower->writes = 0;
  const std::string text = TestBytes(65536, 1);
  const auto bytes = [&](size_t size) {
    return absl::Span<const uint8_t>(reinterpret_cast<const uint8_t*>(text.data()), size);
  };
  ASSERT_EQ(stream->Write(bytes(100)).size_bytes, 100u);
  EXPECT_EQ(lower->writes, 1) << "OPEN and the first data";
  ASSERT_EQ(stream->Write(bytes(65536)).size_bytes, 65536u);
  EXPECT_EQ(lower->writes, 2);
  ASSERT_EQ(stream->Write(bytes(4 * kMaxDataBytes)).size_bytes, 4 * kMaxDataBytes);
  EXPECT_EQ(lower->writes, 3);
  stream->Reset();
}

class MeshStreamTest : public testing::Test {
 protected:
  void Start() {
    LinkPair pair = harness_.Links();
    opener_lower_ = pair.opener_lower;
    acceptor_lower_ = pair.acceptor_lower;
    std::tie(opener_, acceptor_) = harness_.Open(&pair);
  }
  void Send(Stream* from, const std::string& text) {
    StreamWriter writer(from, text);
    ASSERT_TRUE(harness_.TurnUntil([&] { return writer.Push(); }));
  }
  bool EndBoth() {
    StreamReader at_opener(opener_.get()), at_acceptor(acceptor_.get());
    return harness_.TurnUntil([&] {
      opener_->ShutdownWrite();
      acceptor_->ShutdownWrite();
      const bool one = at_opener.Drain(), two = at_acceptor.Drain();
      return one && two;
    }) && at_opener.last() == IoStatus::kEnd && at_acceptor.last() == IoStatus::kEnd;
  }
  void Turn(int turns = 50) {
    for (int i = 0; i < turns; ++i) harness_.loop()->RunOnce(absl::ZeroDuration());
  }

  LinkHarness harness_;
  std::unique_ptr<MeshStream> opener_, acceptor_;
  FakeStream* opener_lower_ = nullptr;
  FakeStream* acceptor_lower_ = nullptr;
};

TEST_F(MeshStreamTest, TellsTheAcceptorWhatIsWanted) {
  Start();
  EXPECT_EQ(harness_.far.open->target, "10.0.0.7:8080");
  EXPECT_EQ(harness_.far.open->source, "10.0.0.1:5555");
  EXPECT_EQ(acceptor_->token(), opener_->token());
  EXPECT_EQ(opener_->peer()->id.ToString(), "spiffe://example.org/api");
  EXPECT_EQ(acceptor_->peer()->id.ToString(), "spiffe://example.org/web");
  EXPECT_FALSE(opener_->answered());
  acceptor_->Accept(3);
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || opener_->answered(); }));
  EXPECT_EQ(opener_->shard(), 3u);
}

TEST_F(MeshStreamTest, OneLinkCarriesStreamAfterStream) {
  LinkPair pair = harness_.Links();
  for (uint8_t round = 1; round < 6; ++round) {
    std::tie(opener_, acceptor_) = harness_.Open(&pair, round);
    acceptor_->Accept(0);
    Send(opener_.get(), TestBytes(30000, round));
    ASSERT_TRUE(EndBoth()) << int{round};
    opener_.reset();
    acceptor_.reset();
    pair.opener = harness_.near.TakeIdle();
    ASSERT_NE(pair.opener, nullptr);
    ASSERT_EQ(harness_.far.links.size(), 1u);
    EXPECT_EQ(harness_.pool.lent(), 0u);
  }
}

TEST_F(MeshStreamTest, ARefusalWithoutWordsEndsInItsReason) {
  Start();
  acceptor_->Refuse(RefuseReason::kNotAllowed, "");
  acceptor_.reset();
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(opener_->error_text(), "the far proxy refused the stream: not allowed by policy");
}

TEST_F(MeshStreamTest, ARefusalSaysWhyAndLeavesTheLinkToOthers) {
  Start();
  Send(opener_.get(), "never wanted");
  acceptor_->Refuse(RefuseReason::kNotAllowed, "no rule allows it");
  acceptor_.reset();
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(opener_->error(), StreamError::kMeshRefused);
  EXPECT_EQ(opener_->refusal()->reason, RefuseReason::kNotAllowed);
  EXPECT_EQ(opener_->error_text(), "the far proxy refused the stream: not allowed by policy: no rule allows it");
  opener_.reset();
  Turn();
  EXPECT_NE(harness_.near.TakeIdle(), nullptr);
  ASSERT_EQ(harness_.far.links.size(), 1u);
  EXPECT_TRUE(harness_.far.links.front()->idle());
}

TEST_F(MeshStreamTest, AResetUnderLoadLeavesTheLinkToOthers) {
  Start();
  acceptor_->Accept(0);
  StreamWriter writer(opener_.get(), TestBytes(4 << 20, 1));
  Turn(3);
  writer.Push();
  acceptor_->Reset();
  acceptor_.reset();
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(opener_->error(), StreamError::kReset);
  EXPECT_EQ(opener_->reset_reason(), ResetReason::kStream);
  opener_.reset();
  ASSERT_TRUE(harness_.TurnUntil([&] { return harness_.far.idle_again == 1; }));
  EXPECT_NE(harness_.near.TakeIdle(), nullptr);
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(MeshStreamTest, OpenLeavesWithoutDataWhenTheServerIsToSpeakFirst) {
  Start();  // nothing was written by the opener
  acceptor_->Accept(0);
  Send(acceptor_.get(), "220 ready");
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || reader.bytes() == "220 ready"; }));
}

TEST_F(MeshStreamTest, AStreamThatIsDroppedResetsTheOtherSide) {
  Start();
  acceptor_->Accept(0);
  StreamReader reader(acceptor_.get());
  Send(opener_.get(), "half of it");
  opener_.reset();
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.bytes(), "half of it");
  EXPECT_EQ(acceptor_->error(), StreamError::kReset);
  acceptor_.reset();
  Turn();
  EXPECT_NE(harness_.near.TakeIdle(), nullptr);
}

TEST_F(MeshStreamTest, ALinkThatEndsInTheMiddleIsNeverAnEnd) {
  Start();
  acceptor_->Accept(0);
  Send(opener_.get(), "half of it");
  opener_lower_->ShutdownWrite();
  StreamReader reader(acceptor_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kError);
  EXPECT_EQ(acceptor_->error(), StreamError::kTruncated);
  EXPECT_EQ(acceptor_->link(), nullptr);
  EXPECT_EQ(acceptor_->peer()->id.ToString(), "spiffe://example.org/web") << "known to the end";
}

TEST_F(MeshStreamTest, AReasonTravels) {
  Start();
  acceptor_->Accept(0);
  StreamReader reader(opener_.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || opener_->answered(); }));
  acceptor_->ResetFor(ResetReason::kBanned);
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(opener_->reset_reason(), ResetReason::kBanned);
  EXPECT_EQ(opener_->error_text(), "the far proxy reset the stream: banned");
}

TEST_F(MeshStreamTest, AStreamNeverWrittenToIsNeverHeardOf) {
  LinkPair pair = harness_.Links();
  harness_.far.Keep(std::move(pair.acceptor));
  opener_ = MeshStream::Open(harness_.loop(), std::move(pair.opener), {TestToken(1), "a:1", ""}, &harness_.near);
  opener_.reset();
  Turn();
  EXPECT_NE(harness_.near.TakeIdle(), nullptr);
  EXPECT_FALSE(harness_.far.open.has_value());
}

}  // namespace
}  // namespace lanyard
