// What connections tell of themselves to /observed and /tap.
#include <string>
#include <vector>

#include "proxy/connection/connection_testing.h"

namespace lanyard {
namespace {

class ConnectionAccountTest : public ConnectionTest {
 protected:
  void CallInUntilDecided() {
    CallIn();
    const auto caller = CallTls(web_);
    EXPECT_TRUE(TurnUntil([&] {
      caller->Open();
      return !observed_.List().empty();
    }));
  }
};

TEST_F(ConnectionAccountTest, AnAllowedCallIsObservedWithItsRule) {
  View(InboundView());
  CallInUntilDecided();
  const ObservedCall call = observed_.List().front();
  EXPECT_EQ(call.direction, "inbound");
  EXPECT_EQ(call.local_id, kApiId);
  EXPECT_EQ(call.peer_id, kWebId);
  EXPECT_EQ(call.port, 8080);
  EXPECT_TRUE(call.captured);
  EXPECT_TRUE(call.allowed);
  EXPECT_EQ(call.rule, "callers");
  EXPECT_EQ(call.count, 1u);
  EXPECT_EQ(call.last_seen, clock_.Now());
}

TEST_F(ConnectionAccountTest, ARefusedCallIsObservedWithTheReason) {
  View(InboundView("spiffe://example.org/other"));
  CallInUntilDecided();
  const ObservedCall call = observed_.List().front();
  EXPECT_EQ(call.peer_id, kWebId);
  EXPECT_FALSE(call.allowed);
  EXPECT_EQ(call.close_reason, "denied_by_policy");
  EXPECT_EQ(call.rule, "");
}

TEST_F(ConnectionAccountTest, OutboundNamesTheDestination) {
  View(OutboundView(RouteAction::kRefuse));
  CallOut();
  ASSERT_EQ(observed_.List().size(), 1u);
  const ObservedCall call = observed_.List().front();
  EXPECT_EQ(call.direction, "outbound");
  EXPECT_EQ(call.local_id, kWebId);
  EXPECT_EQ(call.peer_id, "");
  EXPECT_EQ(call.destination, "10.0.0.2:8080");
  EXPECT_EQ(call.close_reason, "route_refused");
}

TEST_F(ConnectionAccountTest, WhatFailsForNoRulesReasonIsNotObserved) {
  View(InboundView());
  CallIn();
  caller_->ShutdownWrite();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_TRUE(observed_.List().empty());
}

TEST_F(ConnectionAccountTest, WhoWatchesSeesItOpenAndClose) {
  tap_.SetWatched(true);
  View(OutboundView(RouteAction::kPassThrough));
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return !observed_.List().empty(); }));
  table_.CloseAll();
  const std::vector<ConnectionEvent> events = tap_.Take().events;
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, ConnectionEvent::Kind::kOpened);
  EXPECT_EQ(events[0].record.destination, "10.0.0.2:8080");
  EXPECT_EQ(events[1].kind, ConnectionEvent::Kind::kClosed);
  EXPECT_EQ(events[1].close_reason, "drain_deadline");
  EXPECT_EQ(events[1].record.id, events[0].record.id);
}

TEST_F(ConnectionAccountTest, WhileNobodyWatchesNothingWaits) {
  View(OutboundView(RouteAction::kPassThrough));
  CallOut();
  ASSERT_TRUE(TurnUntil([&] { return !observed_.List().empty(); }));
  table_.CloseAll();
  EXPECT_TRUE(tap_.Take().events.empty());
}

}  // namespace
}  // namespace lanyard
