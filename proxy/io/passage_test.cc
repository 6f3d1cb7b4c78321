#include "proxy/io/passage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

TEST(Passage, KeepsMessagesApartAndPassesDescriptors) {
  auto [one, other] = Passage::Pair().value();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd reader(ends[0]), writer(ends[1]);
  ASSERT_TRUE(one.Send("first").ok());
  ASSERT_TRUE(one.Send("second", writer.get()).ok());
  writer.Reset();
  const auto first = other.Receive(kPatience);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->text, "first");
  EXPECT_FALSE(first->fd.valid());
  const auto second = other.Receive(kPatience);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->text, "second");
  ASSERT_TRUE(second->fd.valid());
  EXPECT_EQ(fcntl(second->fd.get(), F_GETFD), FD_CLOEXEC);
  ASSERT_EQ(write(second->fd.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(Passage, NothingIsATimeoutAndAClosedEndIsSaid) {
  auto [one, other] = Passage::Pair().value();
  EXPECT_TRUE(absl::IsDeadlineExceeded(other.Receive(absl::ZeroDuration()).status()));
  { const Passage gone = std::move(one); }
  EXPECT_TRUE(absl::IsUnavailable(other.Receive(kPatience).status()));
  EXPECT_TRUE(absl::IsUnavailable(other.Send("anybody?")));
}

// The kernel says first that something was not read there, and only then what had been sent.
TEST(Passage, WhatWasSentIsReceivedThoughItsSenderHadNotReadAll) {
  auto [one, other] = Passage::Pair().value();
  ASSERT_TRUE(other.Send("never read").ok());
  ASSERT_TRUE(one.Send("first").ok());
  ASSERT_TRUE(one.Send("second").ok());
  { const Passage gone = std::move(one); }
  for (const char* text : {"first", "second"}) {
    const auto received = other.Receive(kPatience);
    ASSERT_TRUE(received.ok()) << received.status();
    EXPECT_EQ(received->text, text);
  }
  EXPECT_TRUE(absl::IsUnavailable(other.Receive(kPatience).status()));
}

TEST(Passage, WithoutAFreeDescriptorAMessageComesWithoutItsOwn) {
  auto [one, other] = Passage::Pair().value();
  ASSERT_TRUE(one.Send("with a socket", one.fd()).ok());
  ASSERT_TRUE(one.Send("and more").ok());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  UniqueFd highest(dup(0));
  const rlimit tight = {static_cast<rlim_t>(highest.get()), before.rlim_max};
  highest.Reset();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  const auto first = other.Receive(kPatience);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->text, "with a socket");
  EXPECT_FALSE(first->fd.valid());
  EXPECT_EQ(other.Receive(kPatience)->text, "and more");
}

TEST(Passage, WhatDoesNotFitNowIsSaidAtOnce) {
  auto [one, other] = Passage::Pair().value();
  size_t sent = 0;
  absl::Status status;
  while ((status = one.TrySend("x")).ok() && sent < 1000000) ++sent;
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(other.Receive(kPatience)->text, "x");
  for (size_t i = 1; i < sent; ++i) ASSERT_TRUE(other.Receive(kPatience).ok());
  EXPECT_TRUE(one.TrySend("y").ok());
  { const Passage gone = std::move(other); }
  EXPECT_TRUE(absl::IsUnavailable(one.TrySend("anybody?")));
}

TEST(Passage, WhatIsTooLongOrEmptyIsNotSent) {
  auto [one, other] = Passage::Pair().value();
  EXPECT_FALSE(one.Send("").ok());
  EXPECT_FALSE(one.Send(std::string(Passage::kMaxMessageBytes + 1, 'x')).ok());
  EXPECT_TRUE(one.Send(std::string(Passage::kMaxMessageBytes, 'x')).ok());
  EXPECT_EQ(other.Receive(kPatience)->text.size(), Passage::kMaxMessageBytes);
}

TEST(Passage, ADescriptorThatIsNoPassageIsAnError) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd writer(ends[1]);
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  Passage passage((UniqueFd(ends[0])));
  EXPECT_FALSE(passage.Receive(kPatience).ok());
}

TEST(Passage, ACookieNamesTheSocketBehindItsDescriptors) {
  const auto [one, other] = Passage::Pair().value();
  const UniqueFd same(dup(one.fd()));
  EXPECT_NE(SocketCookie(one.fd()), 0u);
  EXPECT_EQ(SocketCookie(same.get()), SocketCookie(one.fd()));
  EXPECT_NE(SocketCookie(other.fd()), SocketCookie(one.fd()));
  EXPECT_EQ(SocketCookie(-1), 0u);
}

}  // namespace
}  // namespace lanyard
