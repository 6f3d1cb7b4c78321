#include "proxy/connection/header_read.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/fake_stream.h"
#include "proxy/io/stream_contract_testing.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

constexpr char kHeader[] = "PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n";

class HeaderReadTest : public testing::Test {
 protected:
  HeaderReadTest() { std::tie(caller_, accepted_) = FakeStream::Pair(loop_.get()); }
  void Send(const std::string& text) { ASSERT_TRUE(StreamWriter(caller_.get(), text).Push()); }
  std::string Failure() {
    const absl::StatusOr<bool> step = read_.Step(accepted_.get());
    return step.ok() ? "none" : std::string(step.status().message());
  }
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  std::unique_ptr<FakeStream> caller_, accepted_;
  HeaderRead read_;
};

TEST_F(HeaderReadTest, WhatFollowsStaysInTheStream) {
  Send(std::string(kHeader) + "hello");
  ASSERT_EQ(read_.Step(accepted_.get()).value(), true);
  EXPECT_EQ(read_.header().ends->source.ToString(), "192.0.2.1:8080");
  EXPECT_EQ(read_.header().ends->destination.ToString(), "198.51.100.2:80");
  StreamReader rest(accepted_.get());
  rest.Drain();
  EXPECT_EQ(rest.bytes(), "hello");
}

TEST_F(HeaderReadTest, ItMayComeByteByByte) {
  const std::string header = kHeader;
  for (size_t i = 0; i + 1 < header.size(); ++i) {
    Send(header.substr(i, 1));
    ASSERT_EQ(read_.Step(accepted_.get()).value(), false) << i;
  }
  Send("\n");
  EXPECT_EQ(read_.Step(accepted_.get()).value(), true);
}

TEST_F(HeaderReadTest, WhatIsNoHeaderIsRefusedAtOnce) {
  Send("GE");
  EXPECT_THAT(Failure(), HasSubstr("no PROXY protocol header"));
}

TEST_F(HeaderReadTest, AnEndAndAResetBeforeItIsWholeSaySo) {
  Send("PROXY ");
  EXPECT_EQ(Failure(), "none");
  caller_->ShutdownWrite();
  EXPECT_THAT(Failure(), HasSubstr("ended before its PROXY protocol header was whole"));
  std::tie(caller_, accepted_) = FakeStream::Pair(loop_.get());
  caller_->Reset();
  EXPECT_THAT(Failure(), HasSubstr("lost before its PROXY protocol header was whole"));
}

TEST(TrustsHeaderOf, OnlyTheNamedBlocks) {
  const auto address = [](const char* text) { return SocketAddress::Parse(text).value(); };
  const AcceptedHeader accepted{{AddressBlock::Parse("10.0.0.0/8").value(), AddressBlock::Parse("fd00::1").value()},
                                absl::Seconds(1)};
  EXPECT_TRUE(TrustsHeaderOf(accepted, address("10.255.0.1:1")));
  EXPECT_TRUE(TrustsHeaderOf(accepted, address("[fd00::1]:1")));
  EXPECT_TRUE(TrustsHeaderOf(accepted, address("[::ffff:10.0.0.1]:1")));
  EXPECT_FALSE(TrustsHeaderOf(accepted, address("11.0.0.1:1")));
  EXPECT_FALSE(TrustsHeaderOf(accepted, address("[fd00::2]:1")));
  EXPECT_FALSE(TrustsHeaderOf(AcceptedHeader{}, address("10.0.0.1:1")));
}

}  // namespace
}  // namespace lanyard
