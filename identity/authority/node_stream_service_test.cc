#include "identity/authority/node_stream_service.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "identity/authority/service_testing.h"
#include "identity/base/clock.h"

namespace lanyard {
namespace {

namespace v1 = authority::v1;

class NodeStreamTest : public testing::Test {
 protected:
  NodeStreamTest() : node_(served_.parts.AttestedNode("n1")) { served_.CallAs(node_); }

  struct Stream {
    grpc::ClientContext call;
    std::unique_ptr<grpc::ClientReader<v1::NodeState>> reader;
  };
  std::unique_ptr<Stream> Watch() {
    auto stream = std::make_unique<Stream>();
    stream->call.set_deadline(absl::ToChronoTime(SystemClock().Now() + absl::Seconds(60)));
    stream->reader = served_.stub->WatchNode(&stream->call, {});
    return stream;
  }
  // Reads on until the state has `entries` entries and `roots` roots.
  static bool ReadUntil(Stream& stream, int entries, int roots = 1) {
    v1::NodeState state;
    while (stream.reader->Read(&state)) {
      if (state.entries_size() == entries && state.bundles(0).authorities_size() == roots) return true;
    }
    return false;
  }

  ServedAuthority served_;
  AuthorityParts& parts_ = served_.parts;
  const VerifiedSvid node_;
};

TEST_F(NodeStreamTest, GivesTheWholeStateAtOnceAndAtEveryChange) {
  parts_.CreateEntry("/a");
  const auto stream = Watch();
  v1::NodeState state;
  ASSERT_TRUE(stream->reader->Read(&state));
  EXPECT_EQ(state.entries_size(), 1);
  EXPECT_TRUE(parts_.watches.IsConnected(node_.id));
  const uint64_t revision = state.revision();
  const Entry added = parts_.CreateEntry("/b");
  ASSERT_TRUE(stream->reader->Read(&state));
  EXPECT_EQ(state.entries_size(), 2);
  EXPECT_GT(state.revision(), revision);
  ASSERT_TRUE(parts_.registry->DeleteEntry(added.id()).ok());
  ASSERT_TRUE(stream->reader->Read(&state));
  EXPECT_EQ(state.entries_size(), 1);
}

TEST_F(NodeStreamTest, ANewRootIsAnnounced) {
  const auto stream = Watch();
  ASSERT_TRUE(ReadUntil(*stream, 0, 1));
  parts_.clock.Advance(parts_.lifetimes.root - parts_.lifetimes.intermediate - parts_.lifetimes.Propagation());
  ASSERT_TRUE(parts_.rotation->Step().ok());
  EXPECT_TRUE(ReadUntil(*stream, 0, 2));
}

TEST_F(NodeStreamTest, ManyChangesReachASlowReaderAsTheLastState) {
  const auto stream = Watch();
  for (int i = 0; i < 200; ++i) parts_.CreateEntry("/w" + std::to_string(i));
  int messages = 0;
  v1::NodeState state;
  while (state.entries_size() < 200) {
    ASSERT_TRUE(stream->reader->Read(&state));
    ++messages;
  }
  EXPECT_LE(messages, 201);
}

TEST_F(NodeStreamTest, EndsWhenTheNodeIsDeleted) {
  const auto stream = Watch();
  ASSERT_TRUE(ReadUntil(*stream, 0));
  parts_.watches.End(node_.id, absl::PermissionDeniedError("deleted"));
  EXPECT_FALSE(ReadUntil(*stream, 0));
  EXPECT_EQ(stream->reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(NodeStreamTest, EndsWhenTheAuthorityStops) {
  const auto stream = Watch();
  ASSERT_TRUE(ReadUntil(*stream, 0));
  parts_.watches.EndAll(absl::UnavailableError("stopping"));
  EXPECT_FALSE(ReadUntil(*stream, 0));
  EXPECT_EQ(stream->reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  const auto late = Watch();
  EXPECT_FALSE(ReadUntil(*late, 0));
  EXPECT_EQ(late->reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(NodeStreamTest, ACallerThatGoesAwayIsForgotten) {
  {
    const auto stream = Watch();
    ASSERT_TRUE(ReadUntil(*stream, 0));
    stream->call.TryCancel();
    EXPECT_FALSE(ReadUntil(*stream, 99));
    EXPECT_EQ(stream->reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // A second stream of the same node lives on, whatever became of the first.
  const auto second = Watch();
  ASSERT_TRUE(ReadUntil(*second, 0));
  parts_.CreateEntry("/a");
  EXPECT_TRUE(ReadUntil(*second, 1));
}

}  // namespace
}  // namespace lanyard
