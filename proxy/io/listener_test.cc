#include "proxy/io/listener.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

class ListenerTest : public testing::Test {
 protected:
  bool TurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 1000 && !done(); ++turn) loop_->RunOnce(absl::Milliseconds(10));
    return done();
  }
  Listener::Events Events() {
    return {[this](UniqueFd fd, const SocketAddress& source) {
              accepted_.push_back(std::move(fd));
              sources_.push_back(source);
            },
            [this](int) { ++pauses_; }};
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  std::vector<UniqueFd> accepted_;
  std::vector<SocketAddress> sources_;
  int pauses_ = 0;
};

TEST_F(ListenerTest, AcceptsBothFamiliesOnTheAddressOfAll) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse(":0").value()).value();
  ASSERT_TRUE(listener->Start(Events()).ok());
  const std::string port = std::to_string(listener->address().port());
  Dialled four = Dial(SocketAddress::Parse("127.0.0.1:" + port).value());
  Dialled six = Dial(SocketAddress::Parse("[::1]:" + port).value());
  ASSERT_TRUE(TurnUntil([&] { return accepted_.size() == 2; }));
  EXPECT_NE(sources_[0].is_ipv4(), sources_[1].is_ipv4()) << "a mapped source is told as IPv4";
  EXPECT_EQ(LocalAddress(accepted_[0].get())->port(), listener->address().port());
  EXPECT_FALSE(OriginalDestination(accepted_[0].get(), sources_[0]).ok() &&
               !(*OriginalDestination(accepted_[0].get(), sources_[0]) == *LocalAddress(accepted_[0].get())));
}

TEST_F(ListenerTest, ABusyPortIsAnErrorThatNamesIt) {
  UniqueFd other(socket(AF_INET, SOCK_STREAM, 0));
  SocketAddress any = SocketAddress::Parse("127.0.0.1:0").value();
  ASSERT_EQ(bind(other.get(), any.raw(), any.raw_size()), 0);
  ASSERT_EQ(listen(other.get(), 1), 0);
  const SocketAddress busy = LocalAddress(other.get()).value();
  const auto listener = Listener::Bind(loop_.get(), busy);
  ASSERT_FALSE(listener.ok());
  EXPECT_NE(std::string(listener.status().message()).find(busy.ToString()), std::string::npos);
}

TEST_F(ListenerTest, WaitsOutALackOfDescriptorsAndGoesOn) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  ASSERT_TRUE(listener->Start(Events()).ok());
  Dialled first = Dial(listener->address());
  ASSERT_TRUE(TurnUntil([&] { return accepted_.size() == 1; }));
  Dialled caller = Dial(listener->address());
  ASSERT_TRUE(caller.fd.valid());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  UniqueFd highest(dup(0));
  const rlimit tight = {static_cast<rlim_t>(highest.get()), before.rlim_max};
  highest.Reset();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  EXPECT_TRUE(TurnUntil([&] { return pauses_ >= 1; }));
  const absl::Duration start = SystemClock().Monotonic();
  EXPECT_TRUE(TurnUntil([&] { return pauses_ >= 3; }));
  EXPECT_GE(SystemClock().Monotonic() - start, Listener::kPause) << "it paused, it did not spin";
  EXPECT_EQ(accepted_.size(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(TurnUntil([&] { return accepted_.size() == 2; })) << "the caller waited in the queue";
}

TEST_F(ListenerTest, AcceptsABoundedNumberATurn) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  ASSERT_TRUE(listener->Start(Events()).ok());
  std::vector<Dialled> callers;
  for (int i = 0; i < 3 * Listener::kAcceptsPerTurn; ++i) callers.push_back(Dial(listener->address()));
  size_t most = 0, last = 0;
  ASSERT_TRUE(TurnUntil([&] {
    most = std::max(most, accepted_.size() - last);
    last = accepted_.size();
    return accepted_.size() == callers.size();
  }));
  EXPECT_LE(most, static_cast<size_t>(Listener::kAcceptsPerTurn));
}

TEST_F(ListenerTest, DrainTakesThoseWhoWaitAndRefusesTheRest) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  ASSERT_TRUE(listener->Start(Events()).ok());
  std::vector<Dialled> callers;
  for (int i = 0; i < 2 * Listener::kAcceptsPerTurn; ++i) callers.push_back(Dial(listener->address()));
  listener->Drain();
  EXPECT_EQ(accepted_.size(), callers.size());
  EXPECT_FALSE(Dial(listener->address()).connected);
}

TEST_F(ListenerTest, RefusesAfterClose) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  ASSERT_TRUE(listener->Start(Events()).ok());
  listener->Close();
  Dialled caller = Dial(listener->address());
  EXPECT_TRUE(caller.error_number == ECONNREFUSED || !caller.connected);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_TRUE(accepted_.empty());
}

TEST_F(ListenerTest, AnAdoptedSocketStillHasItsCallers) {
  auto before = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  const Dialled waiting = Dial(before->address());
  auto after = Listener::Adopt(loop_.get(), UniqueFd(dup(before->fd()))).value();
  EXPECT_EQ(after->address().ToString(), before->address().ToString());
  before->Close();
  ASSERT_TRUE(after->Start(Events()).ok());
  EXPECT_TRUE(TurnUntil([&] { return accepted_.size() == 1; }));
}

}  // namespace
}  // namespace lanyard
