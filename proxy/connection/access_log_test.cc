#include "proxy/connection/access_log.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(AccessLog, OneLineHoldsWhoWhatAndWhy) {
  ConnectionRecord record;
  record.direction = "inbound";
  record.listener = "capture-inbound";
  record.source = "10.0.0.1:40000";
  record.destination = "10.0.0.2:8080";
  record.local_id = "spiffe://example.org/api";
  record.local_serial = "aa";
  record.peer_id = "spiffe://example.org/web";
  record.peer_serial = "bb";
  record.bytes_sent = 5;
  record.bytes_received = 7;
  record.age = absl::Milliseconds(12);
  record.rule = "callers";
  record.tls = "TLSv1.3";
  testing::internal::CaptureStderr();
  LogConnection(record, CloseReason::kPeerReset, true, "connection reset by the other side");
  const std::string line = testing::internal::GetCapturedStderr();
  for (const char* part :
       {"direction=inbound", "listener=capture-inbound", "source=10.0.0.1:40000", "destination=10.0.0.2:8080",
        "local_id=spiffe://example.org/api", "local_serial=aa", "peer_id=spiffe://example.org/web", "peer_serial=bb",
        "bytes_sent=5", "bytes_received=7", "duration_ms=12", "close_reason=peer_reset", "rule=callers", "tls=TLSv1.3",
        "resumed=true", "detail="}) {
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
  }
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

}  // namespace
}  // namespace lanyard
