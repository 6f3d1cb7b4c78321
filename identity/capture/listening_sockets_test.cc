#include "identity/capture/listening_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <tuple>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr uint8_t kEstablished = 1, kListen = 10;

std::string Message(uint8_t state, uint8_t family, const char* local) {
  inet_diag_msg message{};
  message.idiag_family = family;
  message.idiag_state = state;
  message.idiag_uid = 4001;
  message.id.idiag_sport = htons(15006);
  inet_pton(family, local, message.id.idiag_src);
  message.id.idiag_cookie[0] = 0xfffffffe;
  message.id.idiag_cookie[1] = 7;
  return std::string(reinterpret_cast<const char*>(&message), sizeof(message));
}

TEST(ListeningSocketsTest, AMessageSaysWhoseSocketListensWhere) {
  for (const auto& [family, local, address] :
       {std::tuple(uint8_t{AF_INET}, "192.0.2.1", "192.0.2.1"), std::tuple(uint8_t{AF_INET}, "0.0.0.0", "0.0.0.0"),
        std::tuple(uint8_t{AF_INET6}, "2001:db8::1", "2001:db8::1"), std::tuple(uint8_t{AF_INET6}, "::", "::"),
        std::tuple(uint8_t{AF_INET6}, "::ffff:192.0.2.2", "192.0.2.2")}) {
    const auto socket = ParseListeningSocket(Message(kListen, family, local) + "attributes");
    ASSERT_TRUE(socket.has_value()) << local;
    EXPECT_EQ(socket->address, address);
    EXPECT_EQ(socket->port, 15006);
    EXPECT_EQ(socket->uid, 4001u);
    EXPECT_EQ(socket->cookie, 0x7fffffffeu);
  }
}

TEST(ListeningSocketsTest, WhatIsCutShortOrDoesNotListenIsNone) {
  const std::string whole = Message(kListen, AF_INET, "192.0.2.1");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseListeningSocket(absl::string_view(whole).substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(ParseListeningSocket(Message(kEstablished, AF_INET, "192.0.2.1")).has_value());
}

TEST(ListeningSocketsTest, OnesOwnSocketIsListedByItsCookie) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0), bound_only = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(bind(bound_only, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const auto listed = ListListeningSockets(ntohs(address.sin_port));
  ASSERT_TRUE(listed.ok()) << listed.status();
  uint64_t cookie = 0;
  socklen_t cookie_size = sizeof(cookie);
  ASSERT_EQ(getsockopt(listener, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_size), 0);
  int found = 0;
  for (const ListeningSocket& socket : *listed) {
    EXPECT_EQ(socket.port, ntohs(address.sin_port));
    if (socket.cookie != cookie) continue;
    ++found;
    EXPECT_EQ(socket.address, "127.0.0.1");
    EXPECT_EQ(socket.uid, geteuid());
  }
  EXPECT_EQ(found, 1);
  getsockname(bound_only, reinterpret_cast<sockaddr*>(&address), &size);
  const auto none = ListListeningSockets(ntohs(address.sin_port));
  ASSERT_TRUE(none.ok()) << none.status();
  ASSERT_EQ(getsockopt(bound_only, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_size), 0);
  for (const ListeningSocket& socket : *none) EXPECT_NE(socket.cookie, cookie) << "it does not listen";
  close(bound_only);
  close(listener);
}

}  // namespace
}  // namespace lanyard
