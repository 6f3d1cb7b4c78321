#include "identity/admin/metrics_endpoint.h"

#include <boost/asio/ip/tcp.hpp>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string Get(const std::string& address, const std::string& path) {
  boost::asio::ip::tcp::iostream stream;
  stream.expires_after(std::chrono::seconds(20));
  const size_t colon = address.rfind(':');
  stream.connect(address.substr(0, colon), address.substr(colon + 1));
  stream << "GET " << path << " HTTP/1.0\r\n\r\n" << std::flush;
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(MetricsEndpoint, AnswersWithWhatIsTrueNow) {
  int asked = 0;  // on the endpoint's thread, which ends before it is read
  std::string first, second, live, other;
  {
    const auto endpoint =
        MetricsEndpoint::Start("127.0.0.1:0", [&asked] { return "asked " + std::to_string(++asked) + "\n"; });
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    first = Get((*endpoint)->address(), "/metrics");
    second = Get((*endpoint)->address(), "/metrics");
    live = Get((*endpoint)->address(), "/live");
    other = Get((*endpoint)->address(), "/connections");
  }
  EXPECT_THAT(first, HasSubstr("\r\n\r\nasked 1\n"));
  EXPECT_THAT(second, HasSubstr("\r\n\r\nasked 2\n"));
  EXPECT_THAT(live, HasSubstr("live"));
  EXPECT_THAT(other, StartsWith("HTTP/1.0 404 "));
  EXPECT_EQ(asked, 2);
}

TEST(MetricsEndpoint, ABusyAddressIsAnError) {
  const auto endpoint = MetricsEndpoint::Start("127.0.0.1:0", [] { return ""; });
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const auto second = MetricsEndpoint::Start((*endpoint)->address(), [] { return ""; });
  EXPECT_THAT(second.status().message(), HasSubstr((*endpoint)->address()));
}

}  // namespace
}  // namespace lanyard
