#include "identity/capture/tcp_sockets.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr char kHeading[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

TEST(TcpSocketsTest, ListenersAndConnectionsOfBothFamilies) {
  const auto sockets = ParseTcpSockets(
      std::string(kHeading) +
      "   0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000 21001        0 4242 1\n"
      "   1: 00000000000000000000000000000000:3A9E 00000000000000000000000000000000:0000 0A 00000000:00000000 "
      "00:00000000 00000000  1337        0 17 1\n"
      "   2: 0000000000000000FFFF00000100007F:3A99 0000000000000000FFFF000001004E0A:C350 01 00000000:00000000 "
      "00:00000000 00000000     0        0 0 1\n");
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[0].local_address, "127.0.0.1");
  EXPECT_EQ(sockets[0].local_port, 15001);
  EXPECT_TRUE(sockets[0].listening && sockets[0].owned);
  EXPECT_EQ(sockets[0].uid, 21001u);
  EXPECT_EQ(sockets[1].local_address, "::");
  EXPECT_EQ(sockets[2].remote_address, "10.78.0.1");
  EXPECT_EQ(sockets[2].remote_port, 50000);
  EXPECT_FALSE(sockets[2].listening || sockets[2].owned || sockets[2].ended);
}

TEST(TcpSocketsTest, WhatItsProcessClosedHasNoOwnerAndSaysSo) {
  const auto sockets = ParseTcpSockets(
      "   0: 0100007F:3A99 0100007F:C350 05 00000000:00000000 00:00000000 00000000     0        0 0 1\n"
      "   1: 0100007F:3A99 0100007F:C351 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n"
      "   2: 0100007F:3A99 0100007F:C352 04 00000000:00000000 00:00000000 00000000   500        0 77 1\n");
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_TRUE(sockets[0].ended && sockets[1].ended);
  EXPECT_FALSE(sockets[0].owned || sockets[1].owned);
  EXPECT_TRUE(sockets[2].owned && !sockets[2].ended) << "half-closed, and still its process's";
}

TEST(TcpSocketsTest, WhatIsNoSocketIsPassedOver) {
  EXPECT_TRUE(ParseTcpSockets("").empty());
  EXPECT_TRUE(ParseTcpSockets(kHeading).empty());
  EXPECT_TRUE(ParseTcpSockets("0: 7F:1 0:0 0A a b c 1 2 3").empty());
  EXPECT_TRUE(ParseTcpSockets("0: 0100007F:FFFFF 00000000:0000 0A a b c 1 2 3").empty());
  EXPECT_TRUE(ParseTcpSockets("0: 0100007X:1 00000000:0000 0A a b c 1 2 3").empty());
}

}  // namespace
}  // namespace lanyard
