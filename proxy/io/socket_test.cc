#include "proxy/io/socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

int Option(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

std::string CongestionControl(int fd) {
  char name[16] = {};
  socklen_t size = sizeof(name);
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
  return name;
}

class SocketTest : public testing::Test {
 protected:
  UniqueFd listener_ = OpenListener(SocketAddress::Parse("127.0.0.1:0").value()).value();
  SocketAddress address_ = LocalAddress(listener_.get()).value();
  // The listener does not block, and loopback connects at once.
  UniqueFd Accept() { return UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK)); }
};

TEST_F(SocketTest, WhatStaysOnTheMachineNeedsNeitherCongestionControlNorProbes) {
  const Dialled dialled = Dial(address_);
  const UniqueFd accepted = Accept();
  ASSERT_TRUE(accepted.valid());
  for (int fd : {dialled.fd.get(), accepted.get()}) {
    EXPECT_NE(Option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_EQ(CongestionControl(fd), "reno");
  }
  EXPECT_EQ(Option(dialled.fd.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
}

// A captured one may be half-closed, and come to a listener on loopback as to any.
TEST_F(SocketTest, NoAcceptedOneIsSilentForAsLongAsConnectionTrackingRemembersAHalfClosedOne) {
  constexpr int kCloseWaitSeconds = 60, kTcpRtoMaxMs = 44, kDefaultRtoMaxMs = 120'000;
  const Dialled dialled = Dial(address_);
  const UniqueFd accepted = Accept();
  ASSERT_TRUE(accepted.valid());
  EXPECT_NE(Option(accepted.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_LE(Option(accepted.get(), IPPROTO_TCP, TCP_KEEPIDLE), kCloseWaitSeconds / 2);
  EXPECT_LE(Option(accepted.get(), IPPROTO_TCP, TCP_KEEPINTVL), kCloseWaitSeconds / 2);
  int longest_ms = 0;
  socklen_t size = sizeof(longest_ms);
  // Kernels before 6.15 do not know it.
  if (getsockopt(dialled.fd.get(), IPPROTO_TCP, kTcpRtoMaxMs, &longest_ms, &size) != 0) return;
  EXPECT_EQ(longest_ms, kDefaultRtoMaxMs);
  EXPECT_LT(Option(accepted.get(), IPPROTO_TCP, kTcpRtoMaxMs), kCloseWaitSeconds * 900);
}

TEST_F(SocketTest, WhatMayComeFromElsewhereIsProbedAndControlledAsTheMachineIsSetUp) {
  const UniqueFd listener = OpenListener(SocketAddress::Parse("0.0.0.0:0").value()).value();
  const UniqueFd plain(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_NE(Option(listener.get(), IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_NE(Option(listener.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(CongestionControl(listener.get()), CongestionControl(plain.get()));
}

TEST_F(SocketTest, TwoWorkersMayListenOnOnePort) {
  EXPECT_TRUE(OpenListener(address_).ok());
}

TEST_F(SocketTest, ResetOnCloseIsSeenAsAReset) {
  Dialled dialled = Dial(address_);
  const UniqueFd accepted = Accept();
  ResetOnClose(dialled.fd.get());
  dialled.fd.Reset();
  char byte;
  EXPECT_EQ(recv(accepted.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(SocketTest, FinishOnCloseTakesItBack) {
  Dialled dialled = Dial(address_);
  const UniqueFd accepted = Accept();
  ResetOnClose(dialled.fd.get());
  FinishOnClose(dialled.fd.get());
  dialled.fd.Reset();
  char byte;
  EXPECT_EQ(recv(accepted.get(), &byte, 1, 0), 0);
}

TEST_F(SocketTest, ADialMayBeFromAnybodysAddress) {
  const SocketAddress somebody = SocketAddress::Parse("192.0.2.7:40000").value();
  const Dialled dialled = DialFrom(somebody, address_);
  ASSERT_TRUE(dialled.fd.valid()) << "needs CAP_NET_RAW: " << dialled.error_number;
  const SocketAddress local = LocalAddress(dialled.fd.get()).value();
  EXPECT_EQ(local.HostString(), "192.0.2.7");
  EXPECT_NE(local.port(), 0);
}

TEST_F(SocketTest, AnAddressOfTheOtherFamilyIsNoSource) {
  const Dialled dialled = DialFrom(SocketAddress::Parse("[2001:db8::1]:1").value(), address_);
  EXPECT_FALSE(dialled.fd.valid());
  EXPECT_EQ(dialled.error_number, EAFNOSUPPORT);
}

TEST_F(SocketTest, AListenerMayBeMadeTransparent) {
  EXPECT_FALSE(IsTransparent(listener_.get(), address_));
  ASSERT_TRUE(MakeTransparent(listener_.get(), address_).ok()) << "needs CAP_NET_RAW";
  EXPECT_EQ(Option(listener_.get(), SOL_IP, IP_TRANSPARENT), 1);
  EXPECT_TRUE(IsTransparent(listener_.get(), address_));
}

TEST_F(SocketTest, ARefusedDialIsToldAtOnceOrLater) {
  listener_.Reset();
  const Dialled dialled = Dial(address_);
  EXPECT_FALSE(dialled.connected);
}

}  // namespace
}  // namespace lanyard
