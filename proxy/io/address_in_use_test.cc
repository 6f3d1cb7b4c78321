#include "proxy/io/address_in_use.h"

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

class CheckAddressFreeTest : public testing::TestWithParam<std::string> {};

TEST_P(CheckAddressFreeTest, AListenerThatSharesItsPortIsInTheWayUntilItCloses) {
  std::optional<UniqueFd> listener = OpenListener(SocketAddress::Parse(GetParam()).value()).value();
  const SocketAddress bound = LocalAddress(listener->get()).value();
  EXPECT_EQ(CheckAddressFree(bound).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(CheckAddressFree(bound).message(), HasSubstr(bound.ToString()));
  EXPECT_TRUE(OpenListener(bound).ok()) << "which SO_REUSEPORT alone would have allowed";
  listener.reset();
  EXPECT_TRUE(CheckAddressFree(bound).ok());
}

INSTANTIATE_TEST_SUITE_P(Families, CheckAddressFreeTest, testing::Values("127.0.0.1:0", "[::1]:0", ":0"));

TEST(CheckAddressFree, APortThatTheKernelChoosesIsFree) {
  EXPECT_TRUE(CheckAddressFree(SocketAddress::Parse("127.0.0.1:0").value()).ok());
}

}  // namespace
}  // namespace lanyard
