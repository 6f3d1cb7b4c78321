#include "proxy/io/address.h"

#include <arpa/inet.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

SocketAddress Address(const std::string& text) { return SocketAddress::Parse(text).value(); }

TEST(SocketAddress, PrintsWhatItParses) {
  for (const char* text : {"10.0.0.1:80", "127.0.0.1:0", "[::1]:65535", "[fd00::2]:8080", "[::]:15001"}) {
    EXPECT_EQ(Address(text).ToString(), text);
  }
  EXPECT_EQ(Address(":80").ToString(), "[::]:80");
  EXPECT_EQ(Address("[::1]:443").HostString(), "::1");
  EXPECT_EQ(Address("[::1]:443").port(), 443);
}

TEST(SocketAddress, AMappedAddressIsTheIpv4AddressItSpells) {
  EXPECT_EQ(Address("[::ffff:10.1.2.3]:80"), Address("10.1.2.3:80"));
  sockaddr_storage storage{};
  auto* mapped = reinterpret_cast<sockaddr_in6*>(&storage);
  mapped->sin6_family = AF_INET6;
  mapped->sin6_port = htons(80);
  inet_pton(AF_INET6, "::ffff:10.1.2.3", &mapped->sin6_addr);
  EXPECT_TRUE(SocketAddress::FromSockaddr(storage).is_ipv4());
  EXPECT_EQ(SocketAddress::FromSockaddr(storage).ToString(), "10.1.2.3:80");
}

TEST(SocketAddress, RefusesWhatIsNotAnAddressWithAPort) {
  for (const char* text : {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+1", "10.0.0.1: 80",
                           "10.0.0.1:080", "::1:80", "[::1:80", "[]:80", "[10.0.0.1]:80", "host:80", "10.0.0:80"}) {
    EXPECT_FALSE(SocketAddress::Parse(text).ok()) << text;
  }
}

TEST(SocketAddress, ComparesHostFamilyAndPort) {
  EXPECT_EQ(Address("10.0.0.1:80"), Address("10.0.0.1:80"));
  EXPECT_FALSE(Address("10.0.0.1:80") == Address("10.0.0.1:81"));
  EXPECT_FALSE(Address("10.0.0.1:80") == Address("10.0.0.2:80"));
  EXPECT_FALSE(Address("0.0.0.0:80") == Address("[::]:80"));
}

TEST(SocketAddress, KnowsLoopback) {
  EXPECT_TRUE(Address("127.9.9.9:1").is_loopback());
  EXPECT_TRUE(Address("[::1]:1").is_loopback());
  EXPECT_FALSE(Address("10.0.0.1:1").is_loopback());
  EXPECT_FALSE(Address("[fd00::1]:1").is_loopback());
}

TEST(SocketAddress, GivesTheBytesOfItsHost) {
  EXPECT_EQ(Address("10.1.2.3:80").host_bytes(), (std::vector<uint8_t>{10, 1, 2, 3}));
  std::vector<uint8_t> loopback(16, 0);
  loopback[15] = 1;
  EXPECT_EQ(Address("[::1]:80").host_bytes(), loopback);
}

TEST(SocketAddress, OnlyAllZeroIsUnspecified) {
  for (const char* text : {":80", "0.0.0.0:80", "[::]:0", "[::ffff:0.0.0.0]:1"}) {
    EXPECT_TRUE(SocketAddress::Parse(text).value().is_unspecified()) << text;
  }
  for (const char* text : {"0.0.0.1:80", "[::1]:80", "127.0.0.1:0"}) {
    EXPECT_FALSE(SocketAddress::Parse(text).value().is_unspecified()) << text;
  }
}

}  // namespace
}  // namespace lanyard
