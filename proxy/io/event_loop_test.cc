#include "proxy/io/event_loop.h"

#include <sys/socket.h>

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/fake_poller.h"

namespace lanyard {
namespace {

class VirtualLoop : public testing::Test {
 protected:
  FakeClock clock_;
  FakePoller* poller_ = new FakePoller(&clock_);  // owned by loop_
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::unique_ptr<Poller>(poller_), &clock_).value();
  std::vector<int> order_;
};

TEST_F(VirtualLoop, TimersRunInTheOrderOfTheirDeadlines) {
  std::vector<std::unique_ptr<Timer>> timers;
  uint32_t state = 7;
  for (int i = 0; i < 200; ++i) {
    state = state * 1664525u + 1013904223u;
    const int seconds = static_cast<int>(state >> 24);
    timers.push_back(std::make_unique<Timer>(loop_.get(), [this, seconds] { order_.push_back(seconds); }));
    timers.back()->Start(absl::Seconds(seconds));
  }
  for (int i = 0; i < 200; i += 3) timers[i]->Stop();
  const absl::Duration start = clock_.Monotonic();
  while (order_.size() < 133) loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_TRUE(std::is_sorted(order_.begin(), order_.end()));
  EXPECT_EQ(clock_.Monotonic() - start, absl::Seconds(order_.back()));
}

TEST_F(VirtualLoop, TimersOfOneDeadlineRunInTheOrderOfTheirStart) {
  Timer a(loop_.get(), [this] { order_.push_back(1); }), b(loop_.get(), [this] { order_.push_back(2); });
  b.Start(absl::Seconds(1));
  a.Start(absl::Seconds(1));
  loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_EQ(order_, (std::vector<int>{2, 1}));
}

TEST_F(VirtualLoop, ATimerOfZeroThatStartsItselfDoesNotHoldTheTurn) {
  int runs = 0;
  Timer* self = nullptr;
  Timer timer(loop_.get(), [&] {
    ++runs;
    self->Start(absl::ZeroDuration());
  });
  self = &timer;
  timer.Start(absl::ZeroDuration());
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(runs, 1);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(runs, 2);
}

TEST_F(VirtualLoop, ATimerMayStopAnotherThatIsDueInTheSameTurn) {
  Timer second(loop_.get(), [this] { order_.push_back(2); });
  Timer first(loop_.get(), [&] { second.Stop(); });
  first.Start(absl::Seconds(1));
  second.Start(absl::Seconds(1));
  loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_TRUE(order_.empty());
  EXPECT_FALSE(second.running());
}

TEST_F(VirtualLoop, AForgottenHandlerHearsNothingMoreOfItsTurn) {
  struct Handler : IoHandler {
    void OnIo(uint32_t) override {
      ++calls;
      if (victim != nullptr) loop->Unwatch(-1, victim);
    }
    EventLoop* loop = nullptr;
    Handler* victim = nullptr;
    int calls = 0;
  } first, second;
  first.loop = loop_.get();
  first.victim = &second;
  poller_->Queue(&first, EPOLLIN);
  poller_->Queue(&second, EPOLLIN);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(second.calls, 0);
}

TEST_F(VirtualLoop, DisposedObjectsDieAtTheEndOfTheTurn) {
  struct Probe : Disposable {
    explicit Probe(bool* gone) : gone(gone) {}
    ~Probe() override { *gone = true; }
    bool* gone;
  };
  bool gone = false, seen = true;
  Timer timer(loop_.get(), [&] {
    loop_->Dispose(std::make_unique<Probe>(&gone));
    seen = gone;
  });
  timer.Start(absl::ZeroDuration());
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_FALSE(seen);
  EXPECT_TRUE(gone);
}

TEST(EventLoop, PostedTasksRunInOrderOnItsThread) {
  auto loop = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  std::vector<int> order;
  std::thread::id ran_on;
  std::thread thread([&] {
    for (int i = 0; i < 1000; ++i) loop->Post([&order, i] { order.push_back(i); });
    loop->Post([&] { ran_on = std::this_thread::get_id(); });
    loop->Stop();
  });
  loop->Run();
  thread.join();
  EXPECT_EQ(order.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(EventLoop, TellsOfReadableDescriptors) {
  auto loop = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  UniqueFd left(fds[0]), right(fds[1]);
  struct Handler : IoHandler {
    void OnIo(uint32_t events) override { seen |= events; }
    uint32_t seen = 0;
  } handler;
  ASSERT_TRUE(loop->Watch(left.get(), EPOLLIN, &handler).ok());
  loop->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(handler.seen, 0u);
  ASSERT_EQ(write(right.get(), "x", 1), 1);
  loop->RunOnce(absl::Seconds(10));
  EXPECT_EQ(handler.seen, static_cast<uint32_t>(EPOLLIN));
  loop->Unwatch(left.get(), &handler);
  handler.seen = 0;
  loop->RunOnce(absl::ZeroDuration());
  EXPECT_EQ(handler.seen, 0u);
}

}  // namespace
}  // namespace lanyard
