#include "identity/channel/stream_limit.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "identity/channel/fake_http2_client.h"

namespace lanyard {
namespace {

constexpr uint8_t kData = 0, kHeaders = 1, kRstStream = 3, kEndStream = 1;

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
      ASSERT_TRUE(limit.FromClient({bytes.data() + at, std::min(piece, bytes.size() - at)}).ok());
    }
    EXPECT_EQ(limit.open(), 3u);
    EXPECT_TRUE(absl::IsResourceExhausted(limit.FromClient(Http2Call(7))));
  }
}

TEST(StreamLimitTest, WhatEitherSideEndsIsNotOpen) {
  StreamLimit limit(3, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Calls(3)).ok());
  limit.FromServer(Http2Frame(4, 0, 0, "") + Http2Frame(kHeaders, 0, 1) + Http2Frame(kData, 0, 1, "more to come"));
  EXPECT_EQ(limit.open(), 3u);
  limit.FromServer(Http2Frame(kHeaders, kEndStream, 1) + Http2Frame(kRstStream, 0, 1, "code"));
  EXPECT_EQ(limit.open(), 2u);
  limit.FromServer(Http2Frame(kRstStream, 0, 3, "code"));
  EXPECT_EQ(limit.open(), 1u);
  EXPECT_TRUE(limit.FromClient(Http2Frame(kRstStream, 0, 5, "code")).ok());
  EXPECT_EQ(limit.open(), 0u);
  EXPECT_TRUE(limit.FromClient(Calls(3, 7)).ok());
}

TEST(StreamLimitTest, ACallIsCountedOnce) {
  StreamLimit limit(1, nullptr);
  ASSERT_TRUE(limit.FromClient(Http2Preface() + Http2Call(1) + Http2Frame(kHeaders, kEndStream, 1)).ok());
  EXPECT_EQ(limit.open(), 1u);
  // What a payload says is no frame.
  ASSERT_TRUE(limit.FromClient(Http2Frame(kData, 0, 1, Calls(5, 3))).ok());
  EXPECT_EQ(limit.open(), 1u);
}

TEST(StreamLimitTest, ConnectionsOfOneShareGiveBackWhatTheyHad) {
  StreamLimit::Share share{.max_open = 3};
  StreamLimit first(10, &share);
  ASSERT_TRUE(first.FromClient(Http2Preface() + Calls(2)).ok());
  {
    StreamLimit second(10, &share);
    EXPECT_TRUE(second.FromClient(Http2Preface() + Calls(1)).ok());
    EXPECT_TRUE(absl::IsResourceExhausted(second.FromClient(Calls(1, 3))));
  }
  EXPECT_EQ(share.open, 2u);
  EXPECT_TRUE(first.FromClient(Calls(1, 5)).ok());
}

}  // namespace
}  // namespace lanyard
