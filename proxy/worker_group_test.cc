#include "proxy/worker_group.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

ProxySettings Settings(int workers, const std::string& address) {
  ProxySettings settings;
  settings.workers = workers;
  settings.listeners = {
      {"in", ListenerKind::kInboundStatic, SocketAddress::Parse(address).value(), "127.0.0.1:80"}};
  return settings;
}

std::multiset<uint64_t> Cookies(const Workers& workers) {
  std::multiset<uint64_t> cookies;
  for (const auto& worker : workers) {
    for (const int fd : worker->worker().Sockets()[0]) cookies.insert(SocketCookie(fd));
  }
  return cookies;
}

// What `workers` would pass on, with their listener configured as `address`.
std::unique_ptr<TakeOver> Handed(const Workers& workers, const std::string& address) {
  auto [before, next] = Passage::Pair().value();
  EXPECT_TRUE(before.Send(kHandOverGreeting).ok());
  for (const auto& worker : workers) {
    for (const int fd : worker->worker().Sockets()[0]) {
      EXPECT_TRUE(before.Send(absl::StrCat("socket\nlistener\nin\n", address), fd).ok());
    }
  }
  EXPECT_TRUE(before.Send("end").ok());
  return TakeOver::Receive(std::move(next)).value();
}

TEST(WorkerGroup, AllWorkersListenOnThePortThatTheKernelChoseOnce) {
  Accounts accounts;
  const Workers workers = CreateWorkers(Settings(3, "127.0.0.1:0"), SystemClock(), accounts, nullptr).value();
  ASSERT_EQ(workers.size(), 3u);
  std::set<std::string> addresses;
  for (const auto& worker : workers) addresses.insert(worker->worker().BoundAddresses()[0].ToString());
  EXPECT_EQ(addresses.size(), 1u);
  EXPECT_EQ(Cookies(workers).size(), 3u);
}

TEST(WorkerGroup, EverySocketIsTakenOverWhateverTheNumberOfWorkers) {
  Accounts accounts;
  for (const int next_workers : {1, 2, 5}) {
    const Workers before = CreateWorkers(Settings(2, "127.0.0.1:0"), SystemClock(), accounts, nullptr).value();
    const auto take_over = Handed(before, "127.0.0.1:0");
    const Workers next =
        CreateWorkers(Settings(next_workers, "127.0.0.1:0"), SystemClock(), accounts, take_over.get()).value();
    ASSERT_EQ(next.size(), static_cast<size_t>(next_workers));
    for (const auto& worker : next) EXPECT_FALSE(worker->worker().Sockets()[0].empty());
    const std::multiset<uint64_t> passed = Cookies(before), taken = Cookies(next);
    EXPECT_EQ(std::set<uint64_t>(passed.begin(), passed.end()), std::set<uint64_t>(taken.begin(), taken.end()));
    EXPECT_EQ(next[0]->worker().BoundAddresses()[0].ToString(), before[0]->worker().BoundAddresses()[0].ToString());
  }
}

TEST(WorkerGroup, AnAddressThatIsNotHandedOverMustBeFree) {
  Accounts accounts;
  const Workers before = CreateWorkers(Settings(1, "127.0.0.1:0"), SystemClock(), accounts, nullptr).value();
  const std::string busy = before[0]->worker().BoundAddresses()[0].ToString();
  const auto take_over = Handed(before, "127.0.0.1:1");
  const auto next = CreateWorkers(Settings(1, busy), SystemClock(), accounts, take_over.get());
  EXPECT_THAT(std::string(next.status().message()), testing::HasSubstr("in use by another process"));
}

}  // namespace
}  // namespace lanyard
