#include "identity/capture/closed_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr int kPatienceMs = 20000;

std::string Notification(uint8_t family, const char* remote, uint16_t remote_port) {
  nlmsghdr header{};
  inet_diag_msg message{};
  message.idiag_family = family;
  message.id.idiag_sport = htons(15001);
  message.id.idiag_dport = htons(remote_port);
  inet_pton(family, remote, message.id.idiag_dst);
  header.nlmsg_len = NLMSG_LENGTH(sizeof(message));
  std::string bytes(NLMSG_SPACE(sizeof(message)), '\0');
  memcpy(bytes.data(), &header, sizeof(header));
  memcpy(bytes.data() + NLMSG_HDRLEN, &message, sizeof(message));
  return bytes;
}

TEST(ClosedSocketsTest, EveryNotificationOfADatagramIsRead) {
  const auto sockets = ParseClosedSockets(Notification(AF_INET, "192.0.2.1", 4000) +
                                          Notification(AF_INET6, "2001:db8::1", 4001) +
                                          Notification(AF_INET6, "::ffff:192.0.2.2", 4002));
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[0].remote_address, "192.0.2.1");
  EXPECT_EQ(sockets[0].remote_port, 4000);
  EXPECT_EQ(sockets[0].local_port, 15001);
  EXPECT_EQ(sockets[1].remote_address, "2001:db8::1");
  EXPECT_EQ(sockets[2].remote_address, "192.0.2.2");
  for (const TcpSocket& socket : sockets) EXPECT_TRUE(socket.ended && !socket.owned && !socket.listening);
}

TEST(ClosedSocketsTest, WhatIsCutShortIsNotRead) {
  const std::string whole = Notification(AF_INET, "192.0.2.1", 4000);
  for (size_t size = 0; size < NLMSG_LENGTH(sizeof(inet_diag_msg)); ++size) {
    EXPECT_TRUE(ParseClosedSockets(absl::string_view(whole).substr(0, size)).empty()) << size;
  }
  EXPECT_TRUE(ParseClosedSockets(std::string(64, '\0')).empty());
  EXPECT_TRUE(ParseClosedSockets(std::string(64, '\xff')).empty());
}

TEST(ClosedSocketsTest, ASocketThatIsClosedAtOnceIsSeen) {
  const auto watch = ClosedSockets::Watch();
  ASSERT_NE(watch, nullptr);
  const int listener = socket(AF_INET, SOCK_STREAM, 0), caller = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  ASSERT_EQ(connect(caller, reinterpret_cast<const sockaddr*>(&address), size), 0);
  const int taken = accept(listener, nullptr, nullptr);
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(taken, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(taken);
  bool seen = false;
  pollfd readable = {.fd = watch->fd(), .events = POLLIN, .revents = 0};
  while (!seen && poll(&readable, 1, kPatienceMs) == 1) {
    const auto closed = watch->Take();
    seen = std::any_of(closed.begin(), closed.end(), [&address](const TcpSocket& socket) {
      return socket.local_port == ntohs(address.sin_port) && socket.remote_address == "127.0.0.1";
    });
  }
  EXPECT_TRUE(seen);
  close(caller);
  close(listener);
}

}  // namespace
}  // namespace lanyard
