#include "identity/channel/stream_limit.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "identity/channel/fake_http2_client.h"

namespace lanyard {
namespace {

constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRstStream = 3, kSettings = 4, kPing = 6, kWindowUpdate = 8,
                  kContinuation = 9;
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
constexpr absl::Duration kNow = absl::Seconds(1000);

// So many calls, from stream `first` on.
std::string Calls(int count, uint32_t first = 1) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += Http2Call(first + 2 * static_cast<uint32_t>(i));
  return bytes;
}

TEST(StreamLimitTest, CountsWhatTheClientOpensHoweverTheBytesCome) {
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{9}, size_t{1000}}) {
    StreamLimit limit(3, nullptr);
    const std::string bytes = Http2Preface() + Calls(3);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_TRUE(limit.FromClient({bytes.data() + at, std::min(piece, bytes.size() - at)}, kNow).ok());
    }
    EXPECT_EQ(limit.open(), 3u);
    EXPECT_TRUE(absl::IsResourceExhausted(limit.FromClient(Http2Call(7), kNow)));
  }
}

TEST(StreamLimitTest, WhatEitherSideEndsIsNotOpen) {
  StreamLimit limit(3, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Calls(3), kNow).ok());
  limit.FromServer(Http2Frame(4, 0, 0, "") + Http2Frame(kHeaders, 0, 1) + Http2Frame(kData, 0, 1, "more to come"));
  EXPECT_EQ(limit.open(), 3u);
  limit.FromServer(Http2Frame(kHeaders, kEndStream, 1) + Http2Frame(kRstStream, 0, 1, "code"));
  EXPECT_EQ(limit.open(), 2u);
  limit.FromServer(Http2Frame(kRstStream, 0, 3, "code"));
  EXPECT_EQ(limit.open(), 1u);
  EXPECT_TRUE(limit.FromClient(Http2Frame(kRstStream, 0, 5, "code"), kNow).ok());
  EXPECT_EQ(limit.open(), 0u);
  EXPECT_TRUE(limit.FromClient(Calls(3, 7), kNow).ok());
}

TEST(StreamLimitTest, ACallIsCountedOnce) {
  StreamLimit limit(1, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Http2Call(1) + Http2Frame(kHeaders, kEndStream, 1), kNow).ok());
  EXPECT_EQ(limit.open(), 1u);
  // What a payload says is no frame.
  ASSERT_TRUE(limit.FromClient(Http2Frame(kData, 0, 1, Calls(5, 3)), kNow).ok());
  EXPECT_EQ(limit.open(), 1u);
}

TEST(StreamLimitTest, ConnectionsOfOneShareGiveBackWhatTheyHad) {
  StreamLimit::Share share{.max_open = 3};
  StreamLimit first(10, &share);
  ASSERT_TRUE(first.FromClient(Http2Preface() + Calls(2), kNow).ok());
  {
    StreamLimit second(10, &share);
    EXPECT_TRUE(second.FromClient(Http2Preface() + Calls(1), kNow).ok());
    EXPECT_TRUE(absl::IsResourceExhausted(second.FromClient(Calls(1, 3), kNow)));
  }
  EXPECT_EQ(share.open, 2u);
  EXPECT_TRUE(first.FromClient(Calls(1, 5), kNow).ok());
}

TEST(StreamLimitTest, AHeaderBlockWithoutEndIsRefused) {
  const auto feed = [](const std::string& piece) {
    StreamLimit limit(10, nullptr);
    if (!limit.FromClient(Http2Preface() + Http2Frame(kHeaders, 0, 1, "\x83\x86"), kNow).ok()) return -1;
    int taken = 0;
    absl::Status status;
    while (taken < 1000 && (status = limit.FromClient(Http2Frame(kContinuation, 0, 1, piece), kNow)).ok()) ++taken;
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    return taken;
  };
  EXPECT_EQ(feed(std::string(StreamLimit::kMaxHeaderBlockBytes, 'x')), 0);
  EXPECT_EQ(feed(std::string(6000, 'x')), 2);
  EXPECT_EQ(feed("x"), StreamLimit::kMaxHeaderBlockFrames - 1);
  EXPECT_EQ(feed(""), StreamLimit::kMaxHeaderBlockFrames - 1);
}

TEST(StreamLimitTest, HeaderBlocksOfHonestSizeInTwoFramesPass) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface(), kNow).ok());
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    EXPECT_TRUE(limit.FromClient(Http2Frame(kHeaders, 0, stream, std::string(8000, 'x')) +
                                 Http2Frame(kContinuation, kEndHeaders, stream, std::string(8000, 'x')), kNow).ok());
  }
  EXPECT_EQ(limit.open(), 10u);
}

TEST(StreamLimitTest, AFrameLongerThanAgreed) {
  const std::string longer(StreamLimit::kMaxFrameBytes + 1, 'x');
  for (const uint8_t type : {kHeaders, kPriority, kRstStream, kSettings, kPing, kContinuation, uint8_t{77}}) {
    StreamLimit limit(10, nullptr);
    ASSERT_TRUE(limit.FromClient(Http2Preface(), kNow).ok());
    // The head says it: the payload need not come.
    const std::string head = Http2Frame(type, 0, 1, longer).substr(0, 9);
    EXPECT_TRUE(absl::IsResourceExhausted(limit.FromClient(head, kNow))) << int{type};
  }
  // gRPC lets data come in longer frames once it knows the bandwidth.
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Http2Call(1) + Http2Frame(kData, 0, 1, longer), kNow).ok());
  EXPECT_EQ(limit.open(), 1u);
}

TEST(StreamLimitTest, StreamsThatAreResetAtOnceAreCounted) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface(), kNow).ok());
  uint32_t stream = 1;
  const auto reset_until_refused = [&](absl::Duration now) {
    int taken = 0;
    while (taken < 10000) {
      // Without a payload: what is behind a refused head is never read, as the connection ends there.
      const absl::Status status = limit.FromClient(Http2Call(stream) + Http2Frame(kRstStream, 0, stream), now);
      stream += 2;
      if (!status.ok()) break;
      ++taken;
    }
    return taken;
  };
  EXPECT_EQ(reset_until_refused(kNow), static_cast<int>(StreamLimit::kMaxResets));
  EXPECT_EQ(reset_until_refused(kNow + absl::Seconds(2)), static_cast<int>(2 * StreamLimit::kResetsPerSecond));
  EXPECT_EQ(reset_until_refused(kNow + absl::Hours(1)), static_cast<int>(StreamLimit::kMaxResets));
  EXPECT_EQ(limit.open(), 0u);
}

// As a client does that reads the first message of a stream of updates, and has what it wants.
TEST(StreamLimitTest, StreamsThatAreResetOnceTheyAreAnsweredAreNot) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface(), kNow).ok());
  for (uint32_t stream = 1; stream < 20001; stream += 2) {
    ASSERT_TRUE(limit.FromClient(Http2Call(stream), kNow).ok()) << stream;
    limit.FromServer(Http2Frame(kHeaders, 0, stream) + Http2Frame(kData, 0, stream, "message"));
    ASSERT_TRUE(limit.FromClient(Http2Frame(kRstStream, 0, stream, "code"), kNow).ok()) << stream;
  }
  EXPECT_EQ(limit.open(), 0u);
}

TEST(StreamLimitTest, FramesThatCarryNothingAreCounted) {
  const std::string opened = Http2Frame(kHeaders, kEndHeaders, 1, "x");   // then it is of no new stream
  for (const std::string& frame :
       {Http2Frame(kPing, 0, 0, "12345678"), Http2Frame(kPing, kAck, 0, "12345678"), Http2Frame(kSettings, 0, 0),
        Http2Frame(kPriority, 0, 1, "12345"), Http2Frame(kData, 0, 1), Http2Frame(77, 0, 0, "unknown"),
        Http2Frame(kRstStream, 0, 5, "code"), opened}) {
    StreamLimit limit(10, nullptr);
    ASSERT_TRUE(limit.FromClient(Http2Preface() + opened, kNow).ok());
    int taken = 0;
    while (taken < 10000 && limit.FromClient(frame, kNow).ok()) {
      // That they are acknowledged pays for no more of them.
      limit.FromServer(Http2Frame(kPing, kAck, 0, "12345678") + Http2Frame(kSettings, kAck, 0));
      ++taken;
    }
    // Less the SETTINGS of the preface, more what the call brings.
    EXPECT_EQ(taken, static_cast<int>(StreamLimit::kMaxBareFrames + StreamLimit::kBareFramesForOne) - 1)
        << int{static_cast<uint8_t>(frame[3])};
    // A refused frame's payload is never read: only one without any can be followed by another.
    if (frame.size() > Http2Frame(kPing, 0, 0).size()) continue;
    EXPECT_TRUE(limit.FromClient(frame, kNow + absl::Seconds(1)).ok());
  }
}

// Clients measure the path with a PING for what they receive, acknowledge, and open their windows.
TEST(StreamLimitTest, WhatAnswersTheServersFramesIsNotRefused) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Http2Call(1), kNow).ok());
  for (int i = 0; i < 10000; ++i) {
    limit.FromServer(Http2Frame(kData, 0, 1, "message"));
    ASSERT_TRUE(limit.FromClient(Http2Frame(kPing, 0, 0, "12345678") + Http2Frame(kPing, kAck, 0, "12345678") +
                                 Http2Frame(kWindowUpdate, 0, 0, "size") + Http2Frame(kWindowUpdate, 0, 1, "size"),
                                 kNow).ok()) << i;
  }
  // And keeps asking whether the server is there, when all is quiet.
  for (int i = 1; i < 1000; ++i) {
    ASSERT_TRUE(limit.FromClient(Http2Frame(kPing, 0, 0, "12345678"), kNow + i * absl::Seconds(10)).ok()) << i;
  }
}

TEST(StreamLimitTest, CallsWithAnEndOfTheirOwnAreNotRefused) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface(), kNow).ok());
  for (uint32_t stream = 1; stream < 20001; stream += 2) {
    ASSERT_TRUE(limit.FromClient(Http2Call(stream) + Http2Frame(kData, 0, stream, "request") +
                                 Http2Frame(kData, kEndStream, stream), kNow).ok()) << stream;
    limit.FromServer(Http2Frame(kHeaders, kEndStream, stream));
    ASSERT_TRUE(limit.FromClient(Http2Frame(kRstStream, 0, stream, "code"), kNow).ok()) << stream;
  }
}

TEST(StreamLimitTest, WhatIsSavedHasALimit) {
  StreamLimit limit(10, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Http2Call(1), kNow).ok());
  for (int i = 0; i < 10000; ++i) limit.FromServer(Http2Frame(kData, 0, 1, "message"));
  int taken = 0;
  while (taken < 10000 && limit.FromClient(Http2Frame(kPing, 0, 0, "12345678"), kNow).ok()) ++taken;
  EXPECT_EQ(taken, static_cast<int>(StreamLimit::kMaxBareFramesSaved));
}

}  // namespace
}  // namespace lanyard
