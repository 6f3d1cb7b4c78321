#include "proxy/connection/observed_calls.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

ObservedCall Inbound(const std::string& peer, uint16_t port, bool allowed = true) {
  ObservedCall call;
  call.direction = "inbound";
  call.local_id = "spiffe://td/web";
  call.peer_id = peer;
  call.port = port;
  call.allowed = allowed;
  return call;
}

TEST(ObservedCalls, TheSameCallIsCounted) {
  ObservedCalls calls;
  calls.Add(Inbound("spiffe://td/a", 80), absl::FromUnixSeconds(1));
  calls.Add(Inbound("spiffe://td/b", 80), absl::FromUnixSeconds(2));
  calls.Add(Inbound("spiffe://td/a", 80), absl::FromUnixSeconds(3));
  calls.Add(Inbound("spiffe://td/a", 80, false), absl::FromUnixSeconds(4));
  calls.Add(Inbound("spiffe://td/a", 81), absl::FromUnixSeconds(5));
  const std::vector<ObservedCall> list = calls.List();
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[0].port, 81);
  EXPECT_FALSE(list[1].allowed);
  EXPECT_EQ(list[2].peer_id, "spiffe://td/a");
  EXPECT_EQ(list[2].count, 2u);
  EXPECT_EQ(list[2].last_seen, absl::FromUnixSeconds(3));
}

TEST(ObservedCalls, TheOneNotSeenForLongestMakesRoom) {
  ObservedCalls calls(2);
  calls.Add(Inbound("spiffe://td/a", 80), absl::FromUnixSeconds(1));
  calls.Add(Inbound("spiffe://td/b", 80), absl::FromUnixSeconds(2));
  calls.Add(Inbound("spiffe://td/a", 80), absl::FromUnixSeconds(3));
  calls.Add(Inbound("spiffe://td/c", 80), absl::FromUnixSeconds(4));
  ASSERT_EQ(calls.List().size(), 2u);
  EXPECT_EQ(calls.List()[0].peer_id, "spiffe://td/c");
  EXPECT_EQ(calls.List()[1].peer_id, "spiffe://td/a");
  EXPECT_EQ(calls.forgotten(), 1u);
  calls.Add(Inbound("spiffe://td/b", 80), absl::FromUnixSeconds(5));
  EXPECT_EQ(calls.List()[0].count, 1u);
}

}  // namespace
}  // namespace lanyard
