#include "identity/channel/endpoint.h"

#include <arpa/inet.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::string Text(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN];
  if (endpoint.family() == AF_INET) {
    const auto* address = reinterpret_cast<const sockaddr_in*>(endpoint.get());
    return std::string(inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text))) + " " +
           std::to_string(ntohs(address->sin_port));
  }
  const auto* address = reinterpret_cast<const sockaddr_in6*>(endpoint.get());
  return std::string(inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof(text))) + " " +
         std::to_string(ntohs(address->sin6_port));
}

TEST(EndpointTest, ReadsAddresses) {
  EXPECT_EQ(Text(*ListenEndpoint("0.0.0.0:7443")), "0.0.0.0 7443");
  EXPECT_EQ(Text(*ListenEndpoint("[::]:0")), ":: 0");
  EXPECT_EQ(Text(*ListenEndpoint("[2001:db8::1]:65535")), "2001:db8::1 65535");
  EXPECT_EQ(Text(DialEndpoints("192.0.2.1:1")->front()), "192.0.2.1 1");
}

TEST(EndpointTest, RefusesWhatIsNoAddress) {
  for (const char* address : {"", ":", "host", "host:", ":1", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:x",
                              "::1:443", "[::1]", "[::1]443", "[]:443", "[1.2.3.4]:443"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ListenEndpoint(address).status())) << address;
    EXPECT_TRUE(absl::IsInvalidArgument(DialEndpoints(address).status())) << address;
  }
}

TEST(EndpointTest, NamesAreForDialingOnly) {
  EXPECT_TRUE(absl::IsInvalidArgument(ListenEndpoint("localhost:1").status()));
  const auto found = DialEndpoints("localhost:80");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->empty());
}

TEST(EndpointTest, ASourceIsAnAddressOrANetworkOfOneOwner) {
  const auto source = [](const char* address) { return SourceOf(*ListenEndpoint(address)); };
  EXPECT_EQ(source("192.0.2.1:1"), source("192.0.2.1:2"));
  EXPECT_NE(source("192.0.2.1:1"), source("192.0.2.2:1"));
  EXPECT_EQ(source("192.0.2.1:1"), source("[::ffff:192.0.2.1]:1"));
  EXPECT_NE(source("[::ffff:192.0.2.1]:1"), source("[::ffff:192.0.2.2]:1"));
  EXPECT_EQ(source("[2001:db8::1]:1"), source("[2001:db8::ffff:2]:9"));
  EXPECT_NE(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
  EXPECT_EQ(SourceOf(Endpoint()), "");
}

}  // namespace
}  // namespace lanyard
