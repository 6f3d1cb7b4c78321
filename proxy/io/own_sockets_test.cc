#include "proxy/io/own_sockets.h"

#include <utility>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

SocketAddress Address(const char* text) { return SocketAddress::Parse(text).value(); }

class OwnSocketsTest : public testing::Test {
 protected:
  int Hops(const char* source, std::vector<const char*> reached) {
    return own_.HopsOf(Address(source), [&] {
      ++asked_;
      std::vector<SocketAddress> addresses;
      for (const char* each : reached) addresses.push_back(Address(each));
      return addresses;
    });
  }
  OwnSockets own_{[this] {
    ++listed_;
    return std::vector<SocketAddress>{Address("10.0.0.1:0"), Address("[fd00::1]:0")};
  }};
  int asked_ = 0, listed_ = 0;
};

TEST_F(OwnSocketsTest, AListenerOfOneAddressIsFoundThereOnly) {
  own_.Captures(Address("10.0.0.1:80"));
  EXPECT_TRUE(own_.CapturesAt(Address("10.0.0.1:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("10.0.0.1:81")));
  EXPECT_FALSE(own_.CapturesAt(Address("127.0.0.1:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("[fd00::1]:80")));
  EXPECT_EQ(listed_, 0);
}

TEST_F(OwnSocketsTest, AListenerOfEveryAddressIsFoundAtAllOfThisMachines) {
  own_.Captures(Address(":80"));
  for (const char* here : {"127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "0.0.0.0:80", "[::]:80"}) {
    EXPECT_TRUE(own_.CapturesAt(Address(here))) << here;
  }
  EXPECT_EQ(listed_, 0) << "these are this machine's by themselves";
  EXPECT_TRUE(own_.CapturesAt(Address("10.0.0.1:80")));
  EXPECT_TRUE(own_.CapturesAt(Address("[fd00::1]:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("10.0.0.2:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("[fd00::2]:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("10.0.0.1:81")));
}

TEST_F(OwnSocketsTest, AListenerOfEveryIpv4AddressTakesNoIpv6) {
  own_.Captures(Address("0.0.0.0:80"));
  EXPECT_TRUE(own_.CapturesAt(Address("10.0.0.1:80")));
  EXPECT_FALSE(own_.CapturesAt(Address("[fd00::1]:80")));
}

TEST_F(OwnSocketsTest, WhatWeDialledIsKnownByBothItsEnds) {
  auto entry = own_.Enter(Address("10.0.0.1:40000"), Address("10.0.0.2:80"), 1);
  EXPECT_EQ(Hops("10.0.0.1:40000", {"10.0.0.2:80"}), 1);
  EXPECT_EQ(Hops("10.0.0.1:40000", {"127.0.0.1:15001", "10.0.0.2:80"}), 1);
  EXPECT_EQ(Hops("10.0.0.1:40000", {"10.0.0.3:80"}), 0) << "another's, from the same port to elsewhere";
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(Hops("10.0.0.1:40001", {"10.0.0.2:80"}), 0);
  EXPECT_EQ(Hops("[fd00::1]:40000", {"10.0.0.2:80"}), 0);
  EXPECT_EQ(asked_, 3) << "we did not dial from there";
}

TEST_F(OwnSocketsTest, OnePortMayHaveSeveralAndEachIsForgottenByItself) {
  auto first = own_.Enter(Address("[fd00::1]:40000"), Address("[fd00::2]:80"), 1);
  auto second = own_.Enter(Address("[fd00::1]:40000"), Address("[fd00::3]:80"), 3);
  EXPECT_EQ(Hops("[fd00::1]:40000", {"[fd00::3]:80"}), 3);
  auto moved = std::move(first);
  EXPECT_EQ(Hops("[fd00::1]:40000", {"[fd00::2]:80"}), 1);
  moved = std::move(second);
  EXPECT_EQ(Hops("[fd00::1]:40000", {"[fd00::2]:80"}), 0);
  EXPECT_EQ(Hops("[fd00::1]:40000", {"[fd00::3]:80"}), 3);
  moved.Forget();
  moved.Forget();
  EXPECT_EQ(Hops("[fd00::1]:40000", {"[fd00::3]:80"}), 0);
}

TEST(ReadLocalHosts, LoopbackIsAmongThem) {
  bool loopback = false;
  for (const SocketAddress& host : ReadLocalHosts()) loopback |= host.is_loopback();
  EXPECT_TRUE(loopback);
}

}  // namespace
}  // namespace lanyard
