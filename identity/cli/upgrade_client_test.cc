#include "identity/cli/upgrade_client.h"

#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using Local = boost::asio::local::stream_protocol;
using testing::HasSubstr;

class UpgradeClientTest : public testing::Test {
 protected:
  UpgradeClientTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~UpgradeClientTest() override {
    unlink(Path().c_str());
    rmdir(folder_.c_str());
  }
  std::string Path() const { return folder_ + "/s"; }
  // What the proxy was asked, when it answers by `answer`.
  absl::StatusOr<pid_t> Ask(const std::string& answer) {
    boost::asio::io_context context;
    Local::acceptor acceptor(context, Local::endpoint(Path()));
    std::thread proxy([&] {
      Local::iostream stream;
      acceptor.accept(stream.socket());
      std::getline(stream, asked_);
      stream << answer << std::flush;
    });
    const absl::StatusOr<pid_t> pid = UpgradeProxy(Path(), {"/new", "", absl::Seconds(60)});
    proxy.join();
    unlink(Path().c_str());
    return pid;
  }

  std::string folder_ = "/tmp/upgrade-XXXXXX";  // TEST_TMPDIR is too long for a socket's address
  std::string asked_;
};

TEST_F(UpgradeClientTest, AsksInOneLineAndUnderstandsTheAnswer) {
  EXPECT_EQ(Ask("{\"pid\":7}\n").value(), 7);
  EXPECT_EQ(asked_, R"({"binary":"/new","config":"","timeout_ms":60000})");
  const absl::Status failed = Ask("{\"error\":\"no identity\"}\n").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("goes on as it was: no identity"));
  EXPECT_FALSE(Ask("hello\n").ok());
  EXPECT_TRUE(absl::IsUnavailable(Ask("").status()));
}

TEST_F(UpgradeClientTest, WhereNobodyListensItSaysSo) {
  EXPECT_THAT(std::string(UpgradeProxy(Path(), {"", "", absl::Seconds(1)}).status().message()), HasSubstr(Path()));
  EXPECT_FALSE(UpgradeProxy(std::string(200, 'x'), {"", "", absl::Seconds(1)}).ok());
}

TEST(UpgradeSocket, IsReadFromThePage) {
  EXPECT_EQ(UpgradeSocketOf(R"({"socket": "/run/p/upgrade.sock"})").value(), "/run/p/upgrade.sock");
  EXPECT_THAT(std::string(UpgradeSocketOf(R"({"socket": null})").status().message()), HasSubstr("upgrade.socket"));
  EXPECT_FALSE(UpgradeSocketOf("no such page").ok());
}

}  // namespace
}  // namespace lanyard
