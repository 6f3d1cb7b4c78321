#include "proxy/control/upgrade_server.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <future>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/io/local_listener.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

TEST(UpgradeRequest, IsParsedStrictly) {
  const auto request = ParseUpgradeRequest(R"({"binary": "/b", "config": "/c", "timeout_ms": 1500})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->binary, "/b");
  EXPECT_EQ(request->config, "/c");
  EXPECT_EQ(request->timeout, absl::Milliseconds(1500));
  for (const char* wrong : {"", "upgrade", "[]", "{}", R"({"timeout_ms": 0})", R"({"timeout_ms": -1})",
                            R"({"timeout_ms": 1e30})", R"({"timeout_ms": 99999999999})",
                            R"({"timeout_ms": 5, "binary": 7})", R"({"timeout_ms": 5, "shell": "x"})"}) {
    EXPECT_FALSE(ParseUpgradeRequest(wrong).ok()) << wrong;
  }
}

class UpgradeServerTest : public testing::Test {
 protected:
  UpgradeServerTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/s";
    server_ = std::make_unique<UpgradeServer>(UpgradeServer::Options{
        .path = path_,
        .listener = OpenLocalListener(path_).value(),
        .upgrade = [this](const UpgradeRequest& request) -> absl::StatusOr<pid_t> {
          timeouts_.push_back(request.timeout);
          return result_;
        },
        .on_upgraded = [this] { upgraded_.set_value(); }});
    server_->Start();
  }
  ~UpgradeServerTest() override {
    server_.reset();
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  std::string Ask(const std::string& line) {
    boost::asio::local::stream_protocol::iostream stream((boost::asio::local::stream_protocol::endpoint(path_)));
    stream << line << "\n" << std::flush;
    std::string answer;
    std::getline(stream, answer);
    return answer;
  }
  bool Exists() const {
    struct stat found{};
    return stat(path_.c_str(), &found) == 0;
  }

  std::string folder_ = "/tmp/upgrade-XXXXXX";  // TEST_TMPDIR is too long for a socket's address
  std::string path_;
  absl::StatusOr<pid_t> result_ = absl::UnavailableError("the new proxy has no \"identity\"");
  std::vector<absl::Duration> timeouts_;
  std::promise<void> upgraded_;
  std::unique_ptr<UpgradeServer> server_;
};

TEST_F(UpgradeServerTest, AnswersEveryOrderAndGoesOnAfterFailures) {
  EXPECT_THAT(Ask("nonsense"), HasSubstr("JSON object"));
  EXPECT_EQ(Ask(R"({"timeout_ms": 5})"), R"({"error":"the new proxy has no \"identity\""})");
  Ask(std::string(2 * UpgradeServer::kMaxRequestBytes, 'x'));
  EXPECT_NE(Ask(R"({"timeout_ms": 6})"), "");
  EXPECT_EQ(timeouts_, (std::vector<absl::Duration>{absl::Milliseconds(5), absl::Milliseconds(6)}));
  server_->Stop();
  EXPECT_FALSE(Exists()) << "nobody listens there any more";
}

TEST_F(UpgradeServerTest, OnceUpgradedItLeavesThePathToTheNextProcess) {
  result_ = 4711;
  EXPECT_EQ(Ask(R"({"timeout_ms": 5})"), R"({"pid":4711})");
  upgraded_.get_future().wait();
  server_->Stop();
  EXPECT_TRUE(Exists());
}

TEST_F(UpgradeServerTest, StopsWhileACallerSaysNothing) {
  boost::asio::local::stream_protocol::iostream silent((boost::asio::local::stream_protocol::endpoint(path_)));
  silent << "{" << std::flush;
  server_->Stop();
  EXPECT_TRUE(timeouts_.empty());
}

}  // namespace
}  // namespace lanyard
