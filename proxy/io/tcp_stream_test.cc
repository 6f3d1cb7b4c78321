#include "proxy/io/tcp_stream.h"

#include <sys/socket.h>

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/listener.h"
#include "proxy/io/stream_contract_testing.h"

namespace lanyard {
namespace {

class TcpHarness : public StreamHarness {
 public:
  explicit TcpHarness(const std::string& address)
      : listener_(Listener::Bind(loop_.get(), SocketAddress::Parse(address).value()).value()) {
    EXPECT_TRUE(listener_
                    ->Start({[this](UniqueFd fd, const SocketAddress&) {
                               accepted_ = TcpStream::Accepted(loop_.get(), std::move(fd));
                             },
                             [](int) {}})
                    .ok());
  }
  EventLoop* loop() override { return loop_.get(); }
  StreamEnds Connect() override {
    StreamEnds ends;
    ends.left = TcpStream::Dialling(loop_.get(), listener_->address());
    EXPECT_TRUE(TurnUntil([this] { return accepted_ != nullptr; }));
    ends.right = std::move(accepted_);
    return ends;
  }

 private:
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<TcpStream> accepted_;
};

std::unique_ptr<StreamHarness> Ipv4() { return std::make_unique<TcpHarness>("127.0.0.1:0"); }
std::unique_ptr<StreamHarness> Ipv6() { return std::make_unique<TcpHarness>("[::1]:0"); }
INSTANTIATE_TEST_SUITE_P(Tcp, StreamContract, testing::Values(Ipv4, Ipv6));

TEST(TcpStreamRelease, GivesItsSocketToAnother) {
  TcpHarness harness("127.0.0.1:0");
  StreamEnds ends = harness.Connect();
  ASSERT_TRUE(harness.TurnUntil([&] { return ends.left->Open().status == IoStatus::kOk; }));
  StreamWriter before(ends.left.get(), "before");
  ASSERT_TRUE(before.Push());
  UniqueFd fd = ends.right->ReleaseFd();
  ASSERT_TRUE(fd.valid());
  EXPECT_FALSE(ends.right->ReleaseFd().valid()) << "only once";
  EXPECT_EQ(ends.right->Flush().status, IoStatus::kError);
  ends.right.reset();
  ends.right = TcpStream::Accepted(harness.loop(), std::move(fd));
  StreamReader reader(ends.right.get());
  ASSERT_TRUE(harness.TurnUntil([&] { return reader.Drain() || reader.bytes() == "before"; }));
  StreamWriter back(ends.right.get(), "back");
  StreamReader answer(ends.left.get());
  ASSERT_TRUE(harness.TurnUntil([&] {
    back.Push();
    return answer.Drain() || answer.bytes() == "back";
  }));
}

class DiallingNobody : public testing::Test {
 protected:
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  StreamError ErrorOfDialling(const SocketAddress& address) {
    auto stream = TcpStream::Dialling(loop_.get(), address);
    for (int turn = 0; turn < 1000 && stream->Open().status == IoStatus::kWouldBlock; ++turn) {
      loop_->RunOnce(absl::Milliseconds(10));
    }
    EXPECT_EQ(stream->Open().status, IoStatus::kError);
    EXPECT_NE(stream->error_text(), "");
    return stream->error();
  }
};

TEST_F(DiallingNobody, SaysConnectionRefused) {
  auto listener = Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  const SocketAddress address = listener->address();
  listener.reset();
  EXPECT_EQ(ErrorOfDialling(address), StreamError::kRefused);
}

TEST_F(DiallingNobody, SaysUnreachable) {
  EXPECT_EQ(ErrorOfDialling(SocketAddress::Parse("[fe80::1]:9").value()) == StreamError::kUnreachable ||
                ErrorOfDialling(SocketAddress::Parse("255.255.255.255:9").value()) == StreamError::kUnreachable,
            true);
}

}  // namespace
}  // namespace lanyard
