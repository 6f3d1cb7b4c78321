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
  // What the node reported is forgotten when its stream ends.
  void ReportsEndWith(Stream& stream) {
    parts_.watches.End(node_.id, absl::UnavailableError("enough"));
    v1::NodeState state;
    EXPECT_FALSE(stream.reader->Read(&state));
    stream.reader->Finish();
    // The reactor is done a moment after the client knows.
    const absl::Time deadline = SystemClock().Now() + absl::Seconds(30);
    while (!parts_.reports.All().empty()) ASSERT_LT(SystemClock().Now(), deadline);
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

TEST_F(NodeStreamTest, ABanIsSentAtOnce) {
  const auto stream = Watch();
  v1::NodeState state;
  ASSERT_TRUE(stream->reader->Read(&state));
  EXPECT_EQ(state.bans_size(), 0);
  ASSERT_TRUE(parts_.mesh->AddBan(*BanSubject::Parse("spiffe://example.org/web"), "stolen", absl::ZeroDuration()).ok());
  ASSERT_TRUE(stream->reader->Read(&state));
  ASSERT_EQ(state.bans_size(), 1);
  EXPECT_EQ(state.bans(0).reason(), "stolen");
  EXPECT_EQ(state.mesh_version(), parts_.mesh->snapshot()->version);
}

TEST_F(NodeStreamTest, EndsWhenTheAgentIsBanned) {
  const auto stream = Watch();
  v1::NodeState state;
  ASSERT_TRUE(stream->reader->Read(&state));
  const BanSubject subject = *BanSubject::Parse("agent:" + node_.id.ToString());
  ASSERT_TRUE(parts_.mesh->AddBan(subject, "stolen", absl::ZeroDuration()).ok());
  EXPECT_FALSE(stream->reader->Read(&state)) << "the agent is not told more";
  const grpc::Status end = stream->reader->Finish();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_NE(end.error_message().find("stolen"), std::string::npos) << end.error_message();
  EXPECT_EQ(Watch()->reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(parts_.mesh->RemoveBan(subject).ok());
  EXPECT_TRUE(Watch()->reader->Read(&state));
}

TEST_F(NodeStreamTest, ReportsOfProxiesLiveAsLongAsTheStream) {
  v1::ReportProxiesRequest request;
  request.add_proxies()->set_view_version(7);
  const auto report = [&] {
    grpc::ClientContext call;
    v1::ReportProxiesResponse response;
    return served_.stub->ReportProxies(&call, request, &response);
  };
  EXPECT_EQ(report().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(parts_.reports.All().empty());
  auto stream = Watch();
  v1::NodeState state;
  ASSERT_TRUE(stream->reader->Read(&state));
  ASSERT_TRUE(report().ok());
  ASSERT_EQ(parts_.reports.All().size(), 1u);
  EXPECT_EQ(parts_.reports.All()[0].proxies[0].view_version, 7u);
  ReportsEndWith(*stream);
}

TEST_F(NodeStreamTest, WhatProxiesObservedIsKeptOfTheNodesOwnWorkloadsAsLongAsTheStream) {
  parts_.CreateEntry("/own", node_.id.ToString());
  parts_.CreateEntry("/foreign", "spiffe://example.org/lanyard/agent/another");
  v1::ReportObservedRequest request;
  v1::ReportObservedRequest::OfProxy* proxy = request.add_proxies();
  proxy->set_proxy(4);
  for (const char* local : {"spiffe://example.org/own", "spiffe://example.org/foreign", "spiffe://example.org/none"}) {
    proxy->mutable_observed()->add_calls()->set_local_id(local);
  }
  const auto report = [&] {
    grpc::ClientContext call;
    v1::ReportObservedResponse response;
    return served_.stub->ReportObserved(&call, request, &response);
  };
  EXPECT_EQ(report().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(parts_.reports.All().empty());
  auto stream = Watch();
  v1::NodeState state;
  ASSERT_TRUE(stream->reader->Read(&state));
  ASSERT_TRUE(report().ok());
  ASSERT_EQ(parts_.reports.All().size(), 1u);
  mesh::v1::Observed kept;
  ASSERT_TRUE(kept.ParseFromString(parts_.reports.All()[0].observed->at(4)));
  ASSERT_EQ(kept.calls_size(), 1);
  EXPECT_EQ(kept.calls(0).local_id(), "spiffe://example.org/own");
  EXPECT_EQ(kept.left_out(), 2u);
  ReportsEndWith(*stream);
}

TEST_F(NodeStreamTest, WhatProxiesObservedIsTakenFromNobodyElse) {
  served_.CallAs(std::nullopt);
  grpc::ClientContext call;
  v1::ReportObservedResponse response;
  EXPECT_EQ(served_.stub->ReportObserved(&call, {}, &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace lanyard
