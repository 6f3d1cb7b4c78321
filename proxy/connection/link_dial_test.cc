#include "proxy/connection/link_dial.h"

#include <optional>

#include "proxy/connection/link_origin.h"
#include "proxy/connection/mesh_testing.h"

namespace lanyard {
namespace {

class LinkDialTest : public MeshTest {
 protected:
  void Dial() {
    const SocketAddress api = SocketAddress::Parse("10.0.0.2:8080").value();
    dial_ = std::make_unique<LinkDial>(&context_, api, api.ToString(),
                                       [this](auto link) { result_ = std::move(link); });
  }
  absl::StatusCode Outcome() {
    Dial();
    for (int i = 0; i < 100 && !result_.has_value(); ++i) Pass(absl::Milliseconds(200));
    return result_.has_value() ? result_->status().code() : absl::StatusCode::kInternal;
  }
  std::optional<absl::StatusOr<std::unique_ptr<Link>>> result_;
  std::unique_ptr<LinkDial> dial_;
};

TEST_F(LinkDialTest, MakesAVerifiedLinkThatKnowsWhereItLeads) {
  BothViews();
  ASSERT_EQ(Outcome(), absl::StatusCode::kOk);
  EXPECT_EQ((**result_)->peer()->id.ToString(), kApiId);
  EXPECT_EQ(LinkOriginOf((**result_)->ssl())->remote.ToString(), "10.0.0.2:8080");
  EXPECT_TRUE(LinkHolds(context_, ***result_).ok());
  EXPECT_TRUE(LinkShowsOurs(context_, ***result_));
}

TEST_F(LinkDialTest, SaysWhyItFailed) {
  BothViews();
  reachable_ = false;
  EXPECT_EQ(Outcome(), absl::StatusCode::kUnavailable);
}

TEST_F(LinkDialTest, APeerWithoutTheProtocolIsNoLink) {
  BothViews();
  speaks_mesh_ = false;
  api_ = Fresh(kApiId);
  ApiView(InboundView());
  EXPECT_EQ(Outcome(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LinkDialTest, ABannedPeerIsNoLink) {
  BothViews();
  auto view = OutboundView(RouteAction::kMutualTls);
  view->bans = BanSet({Ban{BanSubject::Parse(kApiId).value(), "", absl::UnixEpoch()}});
  WebView(view);
  EXPECT_EQ(Outcome(), absl::StatusCode::kPermissionDenied);
}

TEST_F(LinkDialTest, AWithdrawnIdentityMakesNoLink) {
  BothViews();
  auto view = OutboundView(RouteAction::kMutualTls);
  view->identity_withdrawn = true;
  WebView(view);
  EXPECT_EQ(Outcome(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(dialled_.empty());
}

TEST_F(LinkDialTest, GivingUpLeavesNothingBehind) {
  BothViews();
  Dial();
  loop_->RunOnce(absl::ZeroDuration());
  dial_.reset();
  EXPECT_EQ(counters_.link_handshakes_in_flight.value(), 0u);
  EXPECT_EQ(counters_.handshakes_in_flight.value(), 0u);
}

}  // namespace
}  // namespace lanyard
