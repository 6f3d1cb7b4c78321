#include "proxy/connection/table.h"

#include <set>
#include <string>

#include "proxy/connection/connection_testing.h"

namespace lanyard {
namespace {

class TableTest : public ConnectionTest {
 protected:
  void Open(int count) {
    for (int i = 0; i < count; ++i) {
      CallOut();
      callers_.push_back(std::move(caller_));
    }
  }
  std::vector<std::unique_ptr<FakeStream>> callers_;
};

TEST_F(TableTest, ListsEachOpenConnectionOnceUnderItsOwnId) {
  View(OutboundView(RouteAction::kPassThrough));
  Open(5);
  std::set<uint64_t> ids;
  for (const ConnectionRecord& record : table_.List()) ids.insert(record.id);
  EXPECT_EQ(ids.size(), 5u);
}

TEST_F(TableTest, ARecheckThatClosesManyMissesNone) {
  View(OutboundView(RouteAction::kPassThrough));
  Open(7);
  View(OutboundView(RouteAction::kRefuse));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kPolicyChanged), 7u);
}

// Callers by mutual TLS, relaying, each under its own SVID.
class PeersTest : public ConnectionTest {
 protected:
  void CallAs(const FakeLeaf& leaf) {
    CallIn();
    auto caller = CallTls(Context(leaf, TestIdentities::Get().root.Bundles()));
    const size_t wanted = peers_.size() + 1;
    ASSERT_TRUE(TurnUntil([&] {
      caller->Open();
      return dialer_.dialled.size() == wanted;
    }));
    peers_.push_back(std::move(caller));
  }
  std::shared_ptr<MeshView> ViewOfAll() {
    auto view = InboundView("spiffe://example.org/*");
    view->bans = bans_;
    return view;
  }
  static BanSet BanOf(const std::string& subject, absl::Time expires_at = absl::InfiniteFuture()) {
    return BanSet({Ban{BanSubject::Parse(subject).value(), "", absl::UnixEpoch(), expires_at}});
  }
  void BanNow(const std::string& subject) {
    bans_ = BanOf(subject);
    View(ViewOfAll());
  }
  uint64_t Banned() const { return Closes(Flow::kInbound, CloseReason::kBanned); }

  BanSet bans_;
  std::vector<std::unique_ptr<TlsStream>> peers_;
};

TEST_F(PeersTest, ABanLooksAtItsOwnPeersConnectionsOnly) {
  View(ViewOfAll());
  const FakeLeaf other = TestIdentities::Get().root.Leaf("spiffe://example.org/other");
  for (int i = 0; i < 3; ++i) {
    CallAs(TestIdentities::Get().web);
    CallAs(other);
  }
  BanNow("spiffe://example.org/other");
  EXPECT_EQ(Banned(), 3u);
  EXPECT_EQ(table_.rechecked(), 3u);
  for (const ConnectionRecord& record : table_.List()) EXPECT_EQ(record.peer_id, kWebId);
  StreamReader reader(peers_[1].get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kError) << "cut, not ended";
}

TEST_F(PeersTest, ABanOfASerialSparesTheNextSvidOfThatId) {
  View(ViewOfAll());
  const FakeLeaf second = TestIdentities::Get().root.Leaf(kWebId);
  CallAs(TestIdentities::Get().web);
  CallAs(second);
  BanNow("serial:" + second.Svid().leaf().serial());
  EXPECT_EQ(Banned(), 1u);
  EXPECT_EQ(Only().peer_serial, TestIdentities::Get().web.Svid().leaf().serial());
}

TEST_F(PeersTest, ARotationOfOurOwnLooksAtNobody) {
  View(ViewOfAll());
  CallAs(TestIdentities::Get().web);
  api_ = Context(TestIdentities::Get().root.Leaf(kApiId), TestIdentities::Get().root.Bundles());
  View(ViewOfAll());
  EXPECT_EQ(table_.rechecked(), 0u);
  EXPECT_EQ(table_.size(), 1u);
}

// As after a machine slept: whoever expired closes within the view that also takes its root away.
TEST_F(PeersTest, WhoExpiredIsGoneBeforeOthersAreLookedAt) {
  auto closing = ViewOfAll();
  closing->on_svid_expiry = OnSvidExpiry::kClose;
  View(closing);
  const FakeCa& root = TestIdentities::Get().root;
  CallAs(root.Leaf("spiffe://example.org/other", {.not_after = clock_.Now() + absl::Minutes(5)}));
  CallAs(TestIdentities::Get().web);
  clock_.JumpTo(clock_.Now() + absl::Minutes(6));
  const FakeCa other_root = FakeCa::Root("other.example");
  api_ = Context(other_root.Leaf("spiffe://other.example/api"), other_root.Bundles());
  auto next = ViewOfAll();
  next->on_svid_expiry = OnSvidExpiry::kClose;
  View(next);
  EXPECT_EQ(Closes(Flow::kInbound, CloseReason::kSvidExpiredWhileOpen), 1u);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(PeersTest, ABanInForceRefusesAtTheHandshakeAndTheWorkloadIsNotDialled) {
  bans_ = BanOf(kWebId);
  View(ViewOfAll());
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Banned(), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(PeersTest, AnExpiredBanLetsInAndNeedsNoView) {
  bans_ = BanOf(kWebId, clock_.Now() + absl::Minutes(1));
  View(ViewOfAll());
  clock_.Advance(absl::Minutes(2));
  loop_->RunOnce(absl::ZeroDuration());
  CallAs(TestIdentities::Get().web);
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(TableTest, AStormGoesInSlicesAndTheVersionIsAcknowledgedAfterTheLast) {
  auto view = OutboundView(RouteAction::kPassThrough);
  View(view);
  const size_t count = 5 * ConnectionTable::kRechecksPerTurn;
  Open(static_cast<int>(count));
  auto refusing = OutboundView(RouteAction::kRefuse);
  const ViewChange change = CompareViews(context_.view.get(), *refusing);
  context_.view = refusing;
  bool done = false;
  table_.Recheck(change, [&] { done = true; });
  EXPECT_EQ(table_.size(), count - ConnectionTable::kRechecksPerTurn);
  EXPECT_FALSE(done);
  // One that is not looked at yet moves nothing: its first byte is what closes it.
  ASSERT_TRUE(Write(callers_[count - 1].get(), "secret"));
  for (int turn = 0; turn < 20 && !done; ++turn) loop_->RunOnce(absl::ZeroDuration());
  EXPECT_TRUE(done);
  EXPECT_EQ(table_.size(), 0u);
  StreamReader reader(dialer_.answerers[count - 1].get());
  reader.Drain();
  EXPECT_EQ(reader.bytes(), "");
}

TEST_F(TableTest, OneThatClosesWhileItIsMarkedIsSkipped) {
  View(OutboundView(RouteAction::kPassThrough));
  const size_t count = 2 * ConnectionTable::kRechecksPerTurn;
  Open(static_cast<int>(count));
  auto other = OutboundView(RouteAction::kPassThrough);
  other->routes = RouteTable({}, Route{"renamed", {}, {}, RouteAction::kPassThrough, {}});
  View(other);
  callers_[count - 1]->Reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.marked() == 0 && table_.size() == count - 1; }));
  for (const ConnectionRecord& record : table_.List()) EXPECT_EQ(record.rule, "renamed");
}

TEST_F(TableTest, SaysOnceWhenItIsEmpty) {
  View(OutboundView(RouteAction::kPassThrough));
  int times = 0;
  table_.WhenEmpty([&] { ++times; });
  EXPECT_EQ(times, 1) << "it was already";
  Open(2);
  table_.WhenEmpty([&] { ++times; });
  callers_[0]->Reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  EXPECT_EQ(times, 1);
  callers_[1]->Reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(times, 2);
}

TEST_F(TableTest, CloseAllNamesTheDrain) {
  View(OutboundView(RouteAction::kPassThrough));
  Open(3);
  table_.CloseAll();
  EXPECT_EQ(Closes(Flow::kOutbound, CloseReason::kDrainDeadline), 3u);
}

}  // namespace
}  // namespace lanyard
