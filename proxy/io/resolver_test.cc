#include "proxy/io/resolver.h"

#include <optional>

#include "gtest/gtest.h"
#include "proxy/io/epoll_poller.h"

namespace lanyard {
namespace {

TEST(Destination, ParsesNumbersAndNames) {
  EXPECT_TRUE(Destination::Parse("10.0.0.1:80")->is_numeric());
  EXPECT_TRUE(Destination::Parse("[fd00::1]:80")->is_numeric());
  const Destination name = Destination::Parse("db.example.org:5432").value();
  EXPECT_FALSE(name.is_numeric());
  EXPECT_EQ(name.host(), "db.example.org");
  EXPECT_EQ(name.port(), 5432);
  for (const char* text : {"", ":80", "host", "host:", "host:0", "host:65536", "ho st:80", "10.0.0.300:80",
                           "10.0.0.1:0", "http://host:80", "fd00::1:80"}) {
    EXPECT_FALSE(Destination::Parse(text).ok()) << text;
  }
}

class ResolverTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<SocketAddress>> Ask(const std::string& text) {
    std::optional<absl::StatusOr<std::vector<SocketAddress>>> got;
    resolver_.Resolve(Destination::Parse(text).value(), [&](auto answer) { got = std::move(answer); });
    EXPECT_FALSE(got.has_value()) << "answers come in a later turn";
    for (int turn = 0; turn < 1000 && !got.has_value(); ++turn) loop_->RunOnce(absl::Milliseconds(50));
    return got.value_or(absl::DeadlineExceededError("no answer"));
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  Resolver resolver_{loop_.get()};
};

TEST_F(ResolverTest, AnswersNumbersWithoutLookingUp) {
  const auto addresses = Ask("127.0.0.9:80");
  ASSERT_TRUE(addresses.ok());
  EXPECT_EQ(addresses->front().ToString(), "127.0.0.9:80");
}

TEST_F(ResolverTest, LooksNamesUp) {
  const auto addresses = Ask("localhost:80");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_TRUE(addresses->front().is_loopback());
  EXPECT_EQ(addresses->front().port(), 80);
}

TEST_F(ResolverTest, AnUnknownNameIsAnErrorThatNamesIt) {
  const auto addresses = Ask("no-such-name.invalid:80");
  ASSERT_FALSE(addresses.ok());
  EXPECT_NE(std::string(addresses.status().message()).find("no-such-name.invalid"), std::string::npos);
}

TEST(Resolver, MayGoAwayBeforeItsAnswers) {
  auto loop = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  bool answered = false;
  {
    Resolver resolver(loop.get());
    for (int i = 0; i < 10; ++i) {
      resolver.Resolve(Destination::Parse("localhost:1").value(), [&](auto) { answered = true; });
    }
  }
  loop.reset();
  EXPECT_FALSE(answered);
}

}  // namespace
}  // namespace lanyard
