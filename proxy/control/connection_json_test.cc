#include "proxy/control/connection_json.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

using nlohmann::json;

TEST(ConnectionJson, AnEventIsOneLineThatIsReadable) {
  ConnectionEvent event;
  event.kind = ConnectionEvent::Kind::kClosed;
  event.time = absl::UnixEpoch() + absl::Milliseconds(1500);
  event.record.direction = "inbound";
  event.record.peer_id = "spiffe://td/a";
  event.close_reason = "denied_by_policy";
  event.detail = "no rule\nallows \xff it";
  const std::string line = EventLine(event);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(line.back(), '\n');
  const json read = json::parse(line);
  EXPECT_EQ(read["time"], "1970-01-01T00:00:01.500Z");
  EXPECT_EQ(read["event"], "closed");
  EXPECT_EQ(read["peer_id"], "spiffe://td/a");
  EXPECT_EQ(read["close_reason"], "denied_by_policy");
  event.kind = ConnectionEvent::Kind::kOpened;
  EXPECT_FALSE(json::parse(EventLine(event)).contains("close_reason"));
}

TEST(ConnectionJson, WhatWasObservedNamesTheCallAndTheVerdict) {
  ObservedCall call;
  call.direction = "inbound";
  call.local_id = "spiffe://td/web";
  call.peer_id = "spiffe://td/shop";
  call.port = 80;
  call.allowed = true;
  call.count = 3;
  call.last_seen = absl::UnixEpoch();
  const json read = json::parse(JsonText(ObservedJson(call), 2));
  EXPECT_EQ(read["port"], 80);
  EXPECT_EQ(read["allowed"], true);
  EXPECT_EQ(read["count"], 3);
  EXPECT_EQ(read["last_seen"], "1970-01-01T00:00:00Z");
}

}  // namespace
}  // namespace lanyard
