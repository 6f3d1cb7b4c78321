#include "proxy/io/epoll_poller.h"

#include <sys/socket.h>

#include <array>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

struct Nobody : IoHandler {
  void OnIo(uint32_t) override {}
};

class EpollPollerTest : public testing::Test {
 protected:
  EpollPollerTest() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    left_.Reset(fds[0]);
    right_.Reset(fds[1]);
  }
  size_t Wait(absl::Duration timeout) { return poller_->Wait(absl::MakeSpan(events_), timeout); }
  std::unique_ptr<EpollPoller> poller_ = EpollPoller::Create().value();
  UniqueFd left_, right_;
  Nobody handler_;
  std::array<PollEvent, 4> events_;
};

TEST_F(EpollPollerTest, TellsOnceOfAnEdgeUntilTheNext) {
  ASSERT_TRUE(poller_->Add(left_.get(), EPOLLIN | EPOLLET, &handler_).ok());
  EXPECT_EQ(Wait(absl::ZeroDuration()), 0u);
  ASSERT_EQ(write(right_.get(), "x", 1), 1);
  ASSERT_EQ(Wait(absl::Seconds(10)), 1u);
  EXPECT_EQ(events_[0].handler, &handler_);
  EXPECT_EQ(Wait(absl::ZeroDuration()), 0u) << "the byte is still there, the edge is not";
  ASSERT_EQ(write(right_.get(), "y", 1), 1);
  EXPECT_EQ(Wait(absl::Seconds(10)), 1u);
}

TEST_F(EpollPollerTest, SaysNothingOfWhatWasRemoved) {
  ASSERT_TRUE(poller_->Add(left_.get(), EPOLLIN, &handler_).ok());
  ASSERT_EQ(write(right_.get(), "x", 1), 1);
  poller_->Remove(left_.get());
  EXPECT_EQ(Wait(absl::ZeroDuration()), 0u);
}

TEST_F(EpollPollerTest, AShortWaitIsNotASpin) {
  timespec before{}, after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  EXPECT_EQ(Wait(absl::Microseconds(300)), 0u);
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(absl::DurationFromTimespec(after) - absl::DurationFromTimespec(before), absl::Microseconds(300));
}

TEST_F(EpollPollerTest, WhatCannotBeWatchedIsAnError) {
  EXPECT_FALSE(poller_->Add(-1, EPOLLIN, &handler_).ok());
}

}  // namespace
}  // namespace lanyard
