#include "proxy/connection/table.h"

#include <set>

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
