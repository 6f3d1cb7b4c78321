#include "proxy/io/passage.h"

#include <fcntl.h>
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
