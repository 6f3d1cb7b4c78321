#include "proxy/io/tcp_stream.h"

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// Counts what the kernel still has to say.
class CountingPoller : public Poller {
 public:
  absl::Status Add(int fd, uint32_t events, IoHandler* handler) override { return epoll_->Add(fd, events, handler); }
  void Remove(int fd) override { epoll_->Remove(fd); }
  size_t Wait(absl::Span<PollEvent> out, absl::Duration timeout) override {
    const size_t count = epoll_->Wait(out, timeout);
    events_ += count;
    // Who would be told may be gone, which is what the tests are about.
    return muted_ ? 0 : count;
  }
  void Mute() { muted_ = true; }
  size_t events() const { return events_; }

 private:
  std::unique_ptr<EpollPoller> epoll_ = EpollPoller::Create().value();
  size_t events_ = 0;
  bool muted_ = false;
};

// close(2) ends what epoll watches only with the last reference to the socket, and another may have one: for an instant
// whoever reads /proc/PID/fd (a scrape of /metrics, lsof, ss), for longer whoever was passed it.
class TcpStreamGone : public testing::Test {
 protected:
  // What epoll says of a stream that `end` has ended, when its socket lives on and its peer sends.
  size_t EventsAfter(const std::function<void(std::unique_ptr<TcpStream>&)>& end) {
    auto* poller = new CountingPoller;  // the loop's
    auto loop = EventLoop::Create(std::unique_ptr<Poller>(poller), &SystemClock()).value();
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    UniqueFd peer(ends[0]), reference(dup(ends[1]));
    std::unique_ptr<TcpStream> stream = TcpStream::Accepted(loop.get(), UniqueFd(ends[1]));
    loop->RunOnce(absl::ZeroDuration());
    EXPECT_EQ(poller->events(), 1u) << "it was watched";
    end(stream);
    poller->Mute();
    EXPECT_EQ(send(peer.get(), "late", 4, MSG_NOSIGNAL), 4);
    loop->RunOnce(absl::ZeroDuration());
    return poller->events() - 1;
  }
};

TEST_F(TcpStreamGone, IsNotToldOfWhenItsSocketOutlivesIt) {
  EXPECT_EQ(EventsAfter([](std::unique_ptr<TcpStream>& stream) { stream.reset(); }), 0u);
}

TEST_F(TcpStreamGone, IsNotToldOfAfterItsReset) {
  EXPECT_EQ(EventsAfter([](std::unique_ptr<TcpStream>& stream) { stream->Reset(); }), 0u);
}

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

TEST(TcpStreamDialled, IsKnownForOurOwnWhileItIsOpenFromWhicheverAddress) {
  const auto loop = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  const auto listener = Listener::Bind(loop.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  const SocketAddress here = listener->address();
  const SocketAddress caller = SocketAddress::Parse("127.0.0.5:40000").value();
  std::optional<SocketAddress> source;
  ASSERT_TRUE(listener->Start({[&](UniqueFd, const SocketAddress& from) { source = from; }, [](int) {}}).ok());
  OwnSockets own;
  const auto hops = [&] { return own.HopsOf(*source, [&] { return std::vector<SocketAddress>{here}; }); };
  for (const bool from_caller : {false, true}) {
    source.reset();
    auto stream = from_caller ? TcpStream::DiallingFrom(loop.get(), caller, here, &own, 3)
                              : TcpStream::Dialling(loop.get(), here, &own, 3);
    for (int turn = 0; turn < 1000 && !source.has_value(); ++turn) loop->RunOnce(absl::Milliseconds(10));
    ASSERT_TRUE(source.has_value()) << "DiallingFrom needs CAP_NET_RAW: " << stream->error_text();
    EXPECT_EQ(source->HostString(), from_caller ? "127.0.0.5" : "127.0.0.1");
    EXPECT_EQ(hops(), 3);
    stream.reset();
    EXPECT_EQ(hops(), 0);
  }
}

// Both sides have ended, so that to say so once more would be an error.
TEST(TcpStreamRelease, WhatWasToldIsNotToldAgain) {
  TcpHarness harness("127.0.0.1:0");
  StreamEnds ends = harness.Connect();
  ASSERT_TRUE(harness.TurnUntil([&] { return ends.left->Open().status == IoStatus::kOk; }));
  ASSERT_EQ(ends.left->ShutdownWrite().status, IoStatus::kOk);
  ASSERT_EQ(ends.right->ShutdownWrite().status, IoStatus::kOk);
  UniqueFd fd = ends.right->ReleaseFd();
  ASSERT_TRUE(fd.valid());
  ends.right = TcpStream::Inherited(harness.loop(), std::move(fd), true);
  StreamReader reader(ends.right.get());
  ASSERT_TRUE(harness.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kEnd);
  EXPECT_EQ(ends.right->ShutdownWrite().status, IoStatus::kOk);
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
