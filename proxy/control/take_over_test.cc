#include "proxy/control/take_over.h"

#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

class TakeOverTest : public testing::Test {
 protected:
  static UniqueFd Listening() { return OpenListener(SocketAddress::Parse("127.0.0.1:0").value()).value(); }
  void Pass(const std::string& kind, const std::string& name, const std::string& address, int fd) {
    ASSERT_TRUE(before_.Send(absl::StrCat("socket\n", kind, "\n", name, "\n", address), fd).ok());
  }
  std::unique_ptr<TakeOver> Receive() {
    EXPECT_TRUE(before_.Send("end").ok());
    auto received = TakeOver::Receive(std::move(next_));
    EXPECT_TRUE(received.ok()) << received.status();
    return received.ok() ? *std::move(received) : nullptr;
  }
  std::string Said() { return before_.Receive(absl::Seconds(30))->text; }

  std::pair<Passage, Passage> pair_ = Passage::Pair().value();
  Passage& before_ = pair_.first;
  Passage& next_ = pair_.second;
};

TEST_F(TakeOverTest, SocketsAreFoundByAddressAndEachIsTakenOnce) {
  const UniqueFd one = Listening(), two = Listening(), admin = Listening(), same(dup(one.get()));
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  Pass(kListenerSocket, "web", "10.0.0.1:80", one.get());
  Pass(kListenerSocket, "web", "10.0.0.1:80", two.get());
  Pass(kListenerSocket, "web", "10.0.0.1:80", same.get());
  Pass(kAdminSocket, "", "10.0.0.1:80", admin.get());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  EXPECT_TRUE(take_over->Take(kListenerSocket, "web", "10.0.0.1:81").empty());
  const std::vector<UniqueFd> taken = take_over->Take(kListenerSocket, "renamed", "10.0.0.1:80");
  ASSERT_EQ(taken.size(), 2u) << "two sockets behind three descriptors";
  EXPECT_EQ(SocketCookie(taken[0].get()), SocketCookie(one.get()));
  EXPECT_EQ(SocketCookie(taken[1].get()), SocketCookie(two.get()));
  EXPECT_TRUE(take_over->Take(kListenerSocket, "web", "10.0.0.1:80").empty());
  EXPECT_EQ(take_over->Take(kAdminSocket, "", "10.0.0.1:80").size(), 1u);
}

TEST_F(TakeOverTest, WhereTheKernelChoseThePortTheNameDecides) {
  const UniqueFd one = Listening(), two = Listening();
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  Pass(kListenerSocket, "a", "127.0.0.1:0", one.get());
  Pass(kListenerSocket, "b", "127.0.0.1:0", two.get());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  EXPECT_TRUE(take_over->Take(kListenerSocket, "c", "127.0.0.1:0").empty());
  const std::vector<UniqueFd> taken = take_over->Take(kListenerSocket, "b", "127.0.0.1:0");
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(SocketCookie(taken[0].get()), SocketCookie(two.get()));
}

TEST_F(TakeOverTest, AMarkIsASocketWithoutNameAndAddress) {
  const auto mark = Passage::Pair().value();
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  Pass(kViewMark, "", "", mark.first.fd());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  EXPECT_EQ(take_over->Take(kViewMark, "", "").size(), 1u);
  EXPECT_TRUE(take_over->Take(kViewMark, "", "").empty());
}

TEST_F(TakeOverTest, SaysWhatItWaitsForOnceAndServesWhenItIsTold) {
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  EXPECT_TRUE(take_over->Wait("no identity").ok());
  EXPECT_TRUE(take_over->Wait("no identity").ok());
  EXPECT_EQ(Said(), "waiting\nno identity");
  std::thread other([&] {
    EXPECT_EQ(Said(), "ready");
    EXPECT_TRUE(before_.Send("go").ok());
  });
  EXPECT_TRUE(take_over->Ready().ok());
  other.join();
  take_over->Serving();
  EXPECT_EQ(Said(), "serving");
}

TEST_F(TakeOverTest, KnowsWhenTheOneBeforeIsGone) {
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  ASSERT_TRUE(take_over->Wait("no identity").ok());
  { const Passage gone = std::move(before_); }
  EXPECT_FALSE(take_over->Wait("no identity").ok());
  EXPECT_FALSE(take_over->Ready().ok());
}

TEST_F(TakeOverTest, WhatIsNoHandOverIsRefusedAndTheOtherIsTold) {
  ASSERT_TRUE(before_.Send("lanyard-upgrade 99").ok());
  EXPECT_FALSE(TakeOver::Receive(std::move(next_)).ok());
  EXPECT_EQ(Said().substr(0, 7), "failed\n");
}

TEST_F(TakeOverTest, AReasonThatIsTooLongIsCutAtALineAndSaysSo) {
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  const auto take_over = Receive();
  ASSERT_NE(take_over, nullptr);
  std::string mistakes;
  for (int i = 0; i < 1000; ++i) mistakes += "a mistake\n";
  take_over->Failed(absl::InvalidArgumentError(mistakes));
  const std::string said = Said();
  EXPECT_LT(said.size(), mistakes.size());
  EXPECT_NE(said.find("a mistake\n  ... and "), std::string::npos) << said.substr(said.size() - 100);
}

TEST_F(TakeOverTest, WhatIsNoSocketIsRefused) {
  ASSERT_TRUE(before_.Send(kHandOverGreeting).ok());
  ASSERT_TRUE(before_.Send("socket\nlistener\nweb\n10.0.0.1:80").ok());
  EXPECT_FALSE(TakeOver::Receive(std::move(next_)).ok());
}

std::vector<std::vector<uint64_t>> Dealt(size_t sockets, size_t workers) {
  std::vector<UniqueFd> opened;
  for (size_t i = 0; i < sockets; ++i) {
    opened.push_back(OpenListener(SocketAddress::Parse("127.0.0.1:0").value()).value());
  }
  std::vector<std::vector<uint64_t>> cookies;
  for (const auto& hand : DealSockets(std::move(opened), workers)) {
    cookies.emplace_back();
    for (const UniqueFd& socket : hand) cookies.back().push_back(SocketCookie(socket.get()));
  }
  return cookies;
}

TEST(DealSockets, EverySocketIsSomebodysAndEveryWorkerHasOne) {
  const auto same = Dealt(2, 2);
  ASSERT_EQ(same.size(), 2u);
  EXPECT_EQ(same[0].size() + same[1].size(), 2u);
  EXPECT_NE(same[0], same[1]);
  const auto fewer = Dealt(3, 2);
  ASSERT_EQ(fewer.size(), 2u);
  EXPECT_EQ(fewer[0].size(), 2u);
  EXPECT_EQ(fewer[1].size(), 1u);
  const auto more = Dealt(2, 3);
  ASSERT_EQ(more.size(), 3u);
  EXPECT_EQ(more[2], more[0]) << "shared";
  EXPECT_NE(more[1], more[0]);
  EXPECT_TRUE(Dealt(0, 2).empty());
}

}  // namespace
}  // namespace lanyard
