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
