#include "identity/channel/relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr int kPatienceMs = 20000;

class RelayTest : public testing::Test {
 protected:
  RelayTest() : loop_(*EventLoop::Start("test")) {
    int outer[2], inner[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, outer), 0);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inner), 0);
    peer_.Reset(outer[0]);
    grpc_.Reset(inner[0]);
    loop_->RunAndWait([&] {
      relay_ = std::make_unique<Relay>(*loop_, std::make_unique<PlainTransport>(Descriptor(outer[1])),
                                       Descriptor(inner[1]), [this](const absl::Status& status) {
                                         status_ = status;
                                         relay_.reset();
                                         ended_.Notify();
                                       });
      relay_->Start();
    });
  }
  ~RelayTest() override {
    loop_->RunAndWait([this] { relay_.reset(); });
  }
  static bool WriteAll(const Descriptor& to, const std::string& text) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t n = send(to.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }
  // Until `size_bytes` or the end.
  static std::string ReadUpTo(const Descriptor& from, size_t size_bytes) {
    std::string text;
    char buffer[16384];
    pollfd poll_for = {from.get(), POLLIN, 0};
    while (text.size() < size_bytes && poll(&poll_for, 1, kPatienceMs) == 1) {
      const ssize_t got = read(from.get(), buffer, std::min(sizeof(buffer), size_bytes - text.size()));
      if (got <= 0) break;
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }
  static bool Ended(const Descriptor& socket) {
    pollfd poll_for = {socket.get(), POLLIN, 0};
    char byte;
    return poll(&poll_for, 1, kPatienceMs) == 1 && read(socket.get(), &byte, 1) <= 0;
  }

  std::unique_ptr<EventLoop> loop_;
  Descriptor peer_, grpc_;
  absl::Status status_;
  absl::Notification ended_;
  std::unique_ptr<Relay> relay_;
};

std::string Text(size_t size_bytes) {
  std::string text(size_bytes, '\0');
  for (size_t i = 0; i < size_bytes; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

TEST_F(RelayTest, MovesBothWaysAtOnce) {
  const std::string inward = Text(5 << 20), outward = Text(3 << 20);
  std::thread a([&] { EXPECT_TRUE(WriteAll(peer_, inward)); });
  std::thread b([&] { EXPECT_TRUE(WriteAll(grpc_, outward)); });
  std::string arrived;
  std::thread c([&] { arrived = ReadUpTo(grpc_, inward.size()); });
  EXPECT_TRUE(ReadUpTo(peer_, outward.size()) == outward);
  a.join();
  b.join();
  c.join();
  EXPECT_TRUE(arrived == inward);
}

TEST_F(RelayTest, WhoDoesNotReadStopsTheSender) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const std::string block(65536, 'x');
  size_t taken = 0;
  // Until nothing has been taken for a while: the relay's turns and buffers are over.
  pollfd poll_for = {peer_.get(), POLLOUT, 0};
  while (poll(&poll_for, 1, 200) == 1 && taken < (size_t{64} << 20)) {
    const ssize_t sent = send(peer_.get(), block.data(), block.size(), flags);
    if (sent > 0) taken += static_cast<size_t>(sent);
  }
  EXPECT_LT(taken, size_t{2} << 20);   // two sockets' buffers and the relay's own
  EXPECT_EQ(ReadUpTo(grpc_, taken).size(), taken);
}

TEST_F(RelayTest, WhatThePeerSentBeforeItsEndStillArrives) {
  const std::string last = Text(300000);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(peer_, last));
    shutdown(peer_.get(), SHUT_WR);
  });
  EXPECT_TRUE(ReadUpTo(grpc_, last.size()) == last);
  writer.join();
  EXPECT_TRUE(Ended(grpc_));
  // The other way is open still.
  EXPECT_TRUE(WriteAll(grpc_, "answer"));
  EXPECT_EQ(ReadUpTo(peer_, 6), "answer");
  grpc_.Reset(-1);
  EXPECT_TRUE(Ended(peer_));
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(status_.ok()) << status_;
}

TEST_F(RelayTest, WhatGrpcSentBeforeItsEndStillArrives) {
  const std::string last = Text(300000);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(grpc_, last));
    grpc_.Reset(-1);
  });
  EXPECT_TRUE(ReadUpTo(peer_, last.size()) == last);
  writer.join();
  EXPECT_TRUE(Ended(peer_));
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(RelayTest, AnAbruptEndEndsTheOtherSide) {
  peer_.Reset(-1);
  EXPECT_TRUE(Ended(grpc_));
  grpc_.Reset(-1);
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

// A hang-up is reported by epoll though nobody asked: it must not keep the loop spinning.
TEST_F(RelayTest, APeerThatIsGoneWhileNobodyReadsCostsNoTime) {
  const std::string block(65536, 'x');
  pollfd poll_for = {peer_.get(), POLLOUT, 0};
  while (poll(&poll_for, 1, 200) == 1) send(peer_.get(), block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  peer_.Reset(-1);
  loop_->RunAndWait([] {});
  const clock_t before = clock();
  absl::Notification later;
  loop_->RunAndWait([&] { loop_->After(absl::Milliseconds(300), [&] { later.Notify(); }); });
  later.WaitForNotification();
  EXPECT_LT(static_cast<double>(clock() - before) / CLOCKS_PER_SEC, 0.1);
}

}  // namespace
}  // namespace lanyard
