#include "proxy/connection/connection.h"

#include <string>

#include "proxy/connection/connection_testing.h"

namespace lanyard {
namespace {

class SharedLife : public ConnectionTest {
 protected:
  // An inbound call of `context`, relaying.
  std::unique_ptr<TlsStream> Relaying(const std::shared_ptr<const TlsContext>& context) {
    CallIn();
    auto caller = CallTls(context);
    EXPECT_TRUE(TurnUntil([&] {
      caller->Open();
      return table_.size() == 1 && Only().state == "relaying";
    }));
    return caller;
  }
  uint64_t Closed(CloseReason reason) const { return Closes(Flow::kInbound, reason); }
};

TEST_F(SharedLife, AnIdleConnectionEndsAfterIdleTimeoutAndNotBefore) {
  context_.limits.idle_timeout = absl::Seconds(10);
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "x"));
  ASSERT_TRUE(TurnUntil([&] { return Only().state == "relaying"; }));
  clock_.Advance(absl::Seconds(6));
  ASSERT_TRUE(Write(caller_.get(), "y"));
  ASSERT_TRUE(TurnUntil([&] { return Only().bytes_sent == 2; }));
  EXPECT_EQ(TimeUntilClosed(), absl::Seconds(10)) << "counted from the last byte";
  EXPECT_EQ(Closed(CloseReason::kIdle), 1u);
}

TEST_F(SharedLife, AConnectionThatNobodyUsesEndsAfterFirstByteTimeout) {
  context_.limits.first_byte_timeout = absl::Seconds(3);
  View(InboundView());
  auto caller = Relaying(web_);
  EXPECT_EQ(TimeUntilClosed(), absl::Seconds(3));
  EXPECT_EQ(Closed(CloseReason::kFirstByteTimeout), 1u);
  EXPECT_EQ(TimesReached(Limit::kFirstByteTimeout), 1u);
}

TEST_F(SharedLife, AServerThatSpeaksFirstIsEnoughForFirstByteTimeout) {
  context_.limits.first_byte_timeout = absl::Seconds(3);
  context_.limits.idle_timeout = absl::Seconds(60);
  View(InboundView());
  auto caller = Relaying(web_);
  clock_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Write(dialer_.answerers.back().get(), "220 ready"));
  EXPECT_EQ(TimeUntilClosed(), absl::Seconds(60));
  EXPECT_EQ(Closed(CloseReason::kIdle), 1u);
}

TEST_F(SharedLife, ASilentHalfEndsAfterHalfClosedTimeoutAndABusyOneDoesNot) {
  context_.limits.half_closed_timeout = absl::Seconds(5);
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "x"));
  ASSERT_TRUE(TurnUntil([&] { return Only().state == "relaying"; }));
  caller_->ShutdownWrite();
  StreamReader at_workload(dialer_.answerers.back().get());
  ASSERT_TRUE(TurnUntil([&] { return at_workload.Drain(); }));
  clock_.Advance(absl::Seconds(4));
  ASSERT_TRUE(Write(dialer_.answerers.back().get(), "still here"));
  ASSERT_TRUE(TurnUntil([&] { return Only().bytes_received == 10; }));
  EXPECT_EQ(TimeUntilClosed(), absl::Seconds(5)) << "counted from the last byte";
  EXPECT_EQ(Closed(CloseReason::kHalfClosedTimeout), 1u);
  EXPECT_EQ(TimesReached(Limit::kHalfClosedTimeout), 1u);
}

TEST_F(SharedLife, ManyHandshakesAtOnceAreTakenOneATurnAndAllSucceed) {
  View(InboundView());
  constexpr size_t kCallers = 3;
  std::vector<std::unique_ptr<TlsStream>> callers;
  for (size_t i = 0; i < kCallers; ++i) {
    CallIn();
    callers.push_back(CallTls(web_));
    callers.back()->Open();
  }
  uint64_t before = 0;
  ASSERT_TRUE(TurnUntil([&] {
    EXPECT_LE(counters_.handshakes_full.value(), before + 1) << "a turn that had no streams takes one step";
    before = counters_.handshakes_full.value();
    for (auto& caller : callers) caller->Open();
    return before == kCallers;
  }));
}

TEST_F(SharedLife, WithoutAnIdleTimeoutNothingEndsByItself) {
  View(InboundView());
  auto caller = Relaying(web_);
  loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(SharedLife, AnExpiredSvidIsKeptAndCountedOnceWhereThatIsAsked) {
  auto keeping = InboundView();
  keeping->on_svid_expiry = OnSvidExpiry::kKeep;
  View(keeping);
  auto caller = Relaying(web_);
  const absl::Time expiry = Only().peer_not_after;
  while (clock_.Now() < expiry) loop_->RunOnce(absl::InfiniteDuration());
  for (int i = 0; i < 5; ++i) {
    loop_->RunOnce(absl::InfiniteDuration());
    View(std::make_shared<MeshView>(*keeping));
  }
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(counters_.svid_expired_kept.value(), 1u);
}

TEST_F(SharedLife, AnExpiredSvidClosesAPeerThatDoesNotSpeakTheMeshProtocol) {
  View(InboundView());
  auto caller = Relaying(web_);
  TimeUntilClosed();
  EXPECT_EQ(Closed(CloseReason::kSvidExpiredWhileOpen), 1u);
}

TEST_F(SharedLife, OurOwnExpiredSvidClosesToo) {
  auto view = InboundView();
  const absl::Time ours = clock_.Now() + absl::Minutes(3);
  const FakeCa& root = TestIdentities::Get().root;
  view->tls = Context(root.Leaf(kApiId, {.not_after = ours}), root.Bundles());
  View(view);
  auto caller = Relaying(web_);
  EXPECT_LE(TimeUntilClosed(), absl::Minutes(3) + absl::Seconds(1));
  EXPECT_GE(clock_.Now(), ours - absl::Seconds(1));
  EXPECT_EQ(Closed(CloseReason::kSvidExpiredWhileOpen), 1u);
}

TEST_F(SharedLife, AnExpiredSvidClosesWhereThatIsAsked) {
  auto view = InboundView();
  view->on_svid_expiry = OnSvidExpiry::kClose;
  View(view);
  auto caller = Relaying(web_);
  const absl::Time expiry = Only().peer_not_after;
  TimeUntilClosed();
  EXPECT_EQ(Closed(CloseReason::kSvidExpiredWhileOpen), 1u);
  EXPECT_GE(clock_.Now(), expiry);
  EXPECT_LT(clock_.Now(), expiry + absl::Seconds(1));
}

TEST_F(SharedLife, AClockThatJumpsForwardIsNoticed) {
  auto view = InboundView();
  view->on_svid_expiry = OnSvidExpiry::kClose;
  View(view);
  auto caller = Relaying(web_);
  clock_.JumpTo(Only().peer_not_after + absl::Seconds(1));
  EXPECT_LE(TimeUntilClosed(), absl::Minutes(1));
  EXPECT_EQ(Closed(CloseReason::kSvidExpiredWhileOpen), 1u);
}

// The clock was ahead, the ban seemed to be over, and the peer was let in.
TEST_F(SharedLife, ABanThatIsInForceAgainByTheClockClosesWhoCameMeanwhile) {
  auto view = InboundView();
  const absl::Time start = clock_.Now();
  view->bans = BanSet({Ban{*BanSubject::Parse(kWebId), "stolen", start, start + absl::Minutes(5)}});
  View(view);
  clock_.JumpTo(start + absl::Minutes(10));
  auto caller = Relaying(web_);
  clock_.JumpTo(start + absl::Minutes(1));
  EXPECT_LE(TimeUntilClosed(), absl::Seconds(31));
  EXPECT_EQ(Closed(CloseReason::kBanned), 1u);
}

TEST_F(SharedLife, AKeptConnectionStillHangsOnBansThatTheClockEnds) {
  auto keeping = InboundView();
  const absl::Time start = clock_.Now();
  keeping->on_svid_expiry = OnSvidExpiry::kKeep;
  keeping->bans = BanSet({Ban{*BanSubject::Parse(kWebId), "stolen", start, start + absl::Minutes(5)}});
  View(keeping);
  clock_.JumpTo(start + absl::Minutes(10));
  auto caller = Relaying(web_);
  clock_.JumpTo(Only().peer_not_after + absl::Seconds(1));
  for (int turn = 0; turn < 100 && counters_.svid_expired_kept.value() == 0; ++turn) {
    loop_->RunOnce(absl::InfiniteDuration());
  }
  ASSERT_EQ(table_.size(), 1u);
  clock_.JumpTo(start + absl::Minutes(1));
  EXPECT_LE(TimeUntilClosed(), absl::Seconds(31));
  EXPECT_EQ(Closed(CloseReason::kBanned), 1u);
}

TEST_F(SharedLife, AKeptConnectionStillHangsOnItsBundle) {
  auto keeping = InboundView();
  keeping->on_svid_expiry = OnSvidExpiry::kKeep;
  View(keeping);
  auto caller = Relaying(web_);
  const absl::Time expiry = Only().peer_not_after;
  // Another SVID of ours, good for longer, so that the view can be made at all.
  const FakeCa other_root = FakeCa::Root("other.example", {.not_after = expiry + absl::Hours(48)});
  const FakeLeaf other = other_root.Leaf("spiffe://other.example/api", {.not_after = expiry + absl::Hours(24)});
  while (clock_.Now() < expiry) loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_EQ(counters_.svid_expired_kept.value(), 1u);
  auto view = std::make_shared<MeshView>(*keeping);
  BundleSet both = TestIdentities::Get().root.Bundles();
  both.Set(other_root.Bundle());
  view->tls = Context(other, both);
  View(view);
  EXPECT_EQ(table_.size(), 1u) << "expired, but still vouched for";
  view = std::make_shared<MeshView>(*keeping);
  view->tls = Context(other, other_root.Bundles());
  View(view);
  EXPECT_EQ(Closed(CloseReason::kBundleChanged), 1u);
}

TEST_F(SharedLife, ABundleWithdrawnDuringTheHandshakeIsMissedByNobody) {
  View(InboundView());
  CallIn();
  auto caller = CallTls(web_);
  caller->Open();
  ASSERT_TRUE(TurnUntil([&] { return Only().state == "handshaking"; }));
  const FakeCa other_root = FakeCa::Root("other.example");
  auto view = InboundView();
  view->tls = Context(other_root.Leaf("spiffe://other.example/api"), other_root.Bundles());
  View(view);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Closed(CloseReason::kBundleChanged), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(SharedLife, LeavesNothingBehind) {
  View(InboundView());
  {
    auto caller = Relaying(web_);
    ASSERT_TRUE(Write(caller.get(), "hello"));
    ASSERT_TRUE(TurnUntil([&] { return Only().bytes_sent == 5; }));
    EXPECT_EQ(Only().state, "relaying");
    EXPECT_EQ(counters_.bytes_from_mesh.value(), 5u);
    EXPECT_EQ(pool_.lent(), 0u) << "nothing is held while nothing flows";
    caller->Reset();
  }
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(Closed(CloseReason::kPeerReset), 1u);
  EXPECT_EQ(pool_.lent(), 0u);
  EXPECT_EQ(counters_.open[static_cast<size_t>(Flow::kInbound)].value(), 0u);
}

TEST_F(SharedLife, VerificationFailuresAreCountedByDefect) {
  View(InboundView());
  CallIn();
  const FakeCa foreign = FakeCa::Root("foreign.example");
  BundleSet both = TestIdentities::Get().root.Bundles();
  both.Set(foreign.Bundle());
  auto caller = CallTls(Context(foreign.Leaf("spiffe://foreign.example/web"), both));
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Closed(CloseReason::kUnknownTrustDomain), 1u);
  EXPECT_EQ(counters_.verification_failures[static_cast<size_t>(SvidDefect::kUnknownTrustDomain)].value(), 1u);
}

}  // namespace
}  // namespace lanyard
