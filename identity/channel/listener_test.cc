#include "identity/channel/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <time.h>

#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() : loop_(*EventLoop::Start("test")), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), size), 0);
    EXPECT_EQ(listen(socket_.get(), 128), 0);
    EXPECT_EQ(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    loop_->RunAndWait([this] {
      listener_ = std::make_unique<Listener>(*loop_, std::move(socket_), [this](Descriptor accepted) {
        absl::MutexLock lock(&mutex_);
        nonblocking_ = fcntl(accepted.get(), F_GETFL) & O_NONBLOCK;
        accepted_.push_back(std::move(accepted));
      });
      EXPECT_TRUE(listener_->Start().ok());
    });
  }
  ~ListenerTest() override {
    loop_->RunAndWait([this] { listener_.reset(); });
  }
  Descriptor NewSocket() { return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)); }
  void Connect(const Descriptor& socket) {
    connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_));
  }
  bool AwaitAccepted(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return accepted_.size() >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
  }

  std::unique_ptr<EventLoop> loop_;
  Descriptor socket_;
  sockaddr_in address_ = {};
  absl::Mutex mutex_;
  std::vector<Descriptor> accepted_ ABSL_GUARDED_BY(mutex_);
  bool nonblocking_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, AcceptsEveryConnection) {
  std::vector<Descriptor> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(NewSocket());
    Connect(clients.back());
  }
  EXPECT_TRUE(AwaitAccepted(100));
  absl::MutexLock lock(&mutex_);
  EXPECT_TRUE(nonblocking_);
}

TEST_F(ListenerTest, WithoutDescriptorsItPausesAndThenGoesOn) {
  const Descriptor first = NewSocket(), client = NewSocket(), other = NewSocket();
  // UBSan needs a descriptor when it first looks at an object's type: all that is used below is used once before.
  Log(LogLevel::kInfo, "descriptors run out on purpose now");
  Connect(first);
  ASSERT_TRUE(AwaitAccepted(1));
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  // No number is free below the new limit.
  std::vector<Descriptor> hoard;
  int highest;
  do {
    hoard.emplace_back(dup(client.get()));
    highest = hoard.back().get();
  } while (highest < 64);
  rlimit low = limit;
  low.rlim_cur = static_cast<rlim_t>(highest) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  Connect(client);
  // The loop's turns go by: were it busy with accept, it would still answer, but its CPU time would show.
  const clock_t before = clock();
  for (int i = 0; i < 3; ++i) {
    absl::Notification turn;
    loop_->RunAndWait([&] { loop_->After(Listener::kPause, [&turn] { turn.Notify(); }); });
    turn.WaitForNotification();
  }
  const double cpu_seconds = static_cast<double>(clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu_seconds, 0.1);
  {
    absl::MutexLock lock(&mutex_);
    EXPECT_EQ(accepted_.size(), 1u);
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_TRUE(AwaitAccepted(2));
  Connect(other);
  EXPECT_TRUE(AwaitAccepted(3));
}

}  // namespace
}  // namespace lanyard
