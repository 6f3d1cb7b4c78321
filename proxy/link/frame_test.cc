#include "proxy/link/frame.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

// Feeds `bytes` in pieces of at most `piece`; returns the number that the parser took before it stopped.
size_t Feed(FrameParser* parser, absl::string_view bytes, size_t piece) {
  size_t at = 0;
  while (at < bytes.size() && parser->data_left() == 0 && !parser->complete()) {
    const absl::Span<uint8_t> space = parser->Space();
    const size_t count = std::min({space.size(), bytes.size() - at, piece});
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), count, space.begin());
    at += count;
    if (!parser->Produced(count)) break;
  }
  return at;
}

std::string Payload(const std::string& frame) { return frame.substr(kFrameHeaderBytes); }

OpenRequest Request() {
  OpenRequest request;
  for (size_t i = 0; i < request.token.size(); ++i) request.token[i] = static_cast<uint8_t>(200 + i);
  request.target = "10.0.0.7:8080";
  request.source = "[fd00::1]:5555";
  return request;
}

TEST(Frame, OpenGoesThereAndBack) {
  const std::string frame = EncodeOpen(Request());
  OpenRequest read;
  ASSERT_TRUE(DecodeOpen(Payload(frame), &read));
  EXPECT_EQ(read.token, Request().token);
  EXPECT_EQ(read.target, Request().target);
  EXPECT_EQ(read.source, Request().source);
}

TEST(Frame, OpenWithoutTargetOrWithMoreIsMalformed) {
  OpenRequest read;
  OpenRequest request = Request();
  const std::string payload = Payload(EncodeOpen(request));
  for (size_t size = 0; size < payload.size(); ++size) EXPECT_FALSE(DecodeOpen(payload.substr(0, size), &read)) << size;
  EXPECT_FALSE(DecodeOpen(payload + "x", &read));
  request.target = "";
  EXPECT_FALSE(DecodeOpen(Payload(EncodeOpen(request)), &read));
  std::string unprintable = payload;
  unprintable[20] = '\n';
  EXPECT_FALSE(DecodeOpen(unprintable, &read));
}

TEST(Frame, TextsAreCutAndMadePrintable) {
  Refusal read;
  ASSERT_TRUE(DecodeRefuse(Payload(EncodeRefuse({RefuseReason::kLimit, std::string(400, 'x') + "\n"})), &read));
  EXPECT_EQ(read.reason, RefuseReason::kLimit);
  EXPECT_EQ(read.text, std::string(kMaxTextBytes, 'x'));
  ASSERT_TRUE(DecodeRefuse(Payload(EncodeRefuse({RefuseReason::kOther, "a\nb\xff"})), &read));
  EXPECT_EQ(read.text, "a?b?");
}

TEST(Frame, NumbersGoThereAndBack) {
  uint32_t shard = 0;
  ASSERT_TRUE(DecodeAccept(Payload(EncodeAccept(0xfedcba98)), &shard));
  EXPECT_EQ(shard, 0xfedcba98);
  EXPECT_FALSE(DecodeAccept("abc", &shard));
  EXPECT_FALSE(DecodeAccept("abcde", &shard));
  uint64_t number = 0;
  ASSERT_TRUE(DecodePing(Payload(EncodePing(FrameType::kPing, 0xfedcba9876543210)), &number));
  EXPECT_EQ(number, 0xfedcba9876543210);
  EXPECT_FALSE(DecodePing("1234567", &number));
  AttachRequest attach;
  ASSERT_TRUE(DecodeAttach(Payload(EncodeAttach({Request().token, 9})), &attach));
  EXPECT_EQ(attach.token, Request().token);
  EXPECT_EQ(attach.shard, 9u);
  EXPECT_FALSE(DecodeAttach("short", &attach));
  ASSERT_TRUE(DecodeAttach(Payload(EncodeVouch({Request().token, 8})), &attach));
  EXPECT_EQ(attach.shard, 8u);
}

TEST(Frame, ReasonsOfLaterVersionsReadAsOther) {
  ResetReason reset = ResetReason::kStream;
  ASSERT_TRUE(DecodeReset("\xee", &reset));
  EXPECT_EQ(reset, ResetReason::kOther);
  GoAwayReason go_away = GoAwayReason::kRotated;
  ASSERT_TRUE(DecodeGoAway("\xee", &go_away));
  EXPECT_EQ(go_away, GoAwayReason::kOther);
  EXPECT_FALSE(DecodeReset("", &reset));
  EXPECT_FALSE(DecodeGoAway("ab", &go_away));
}

TEST(FrameParser, NeverReadsBeyondAFrame) {
  const std::string bytes = EncodeOpen(Request()) + EncodeEmpty(FrameType::kEnd) + EncodeReset(ResetReason::kStream);
  for (const size_t piece : {1u, 3u, 4u, 1000u}) {
    FrameParser parser;
    EXPECT_TRUE(parser.at_boundary());
    size_t at = Feed(&parser, bytes, piece);
    EXPECT_EQ(at, EncodeOpen(Request()).size());
    EXPECT_EQ(parser.type(), FrameType::kOpen);
    EXPECT_EQ(parser.payload(), Payload(EncodeOpen(Request())));
    EXPECT_FALSE(parser.at_boundary());
    parser.Next();
    EXPECT_TRUE(parser.at_boundary());
    at += Feed(&parser, bytes.substr(at), piece);
    EXPECT_EQ(parser.type(), FrameType::kEnd);
    parser.Next();
    at += Feed(&parser, bytes.substr(at), piece);
    EXPECT_EQ(parser.type(), FrameType::kReset);
    EXPECT_EQ(at, bytes.size());
  }
}

TEST(FrameParser, LeavesDataToItsReader) {
  uint8_t header[kFrameHeaderBytes];
  WriteDataHeader(kMaxDataBytes, header);
  FrameParser parser;
  EXPECT_EQ(Feed(&parser, {reinterpret_cast<char*>(header), sizeof(header)}, 3), sizeof(header));
  EXPECT_EQ(parser.data_left(), kMaxDataBytes);
  EXPECT_EQ(parser.type(), FrameType::kData);
  EXPECT_TRUE(parser.Space().empty());
  parser.Consumed(kMaxDataBytes - 1);
  EXPECT_FALSE(parser.at_boundary());
  parser.Consumed(1);
  EXPECT_TRUE(parser.at_boundary());
  EXPECT_EQ(parser.Space().size(), kFrameHeaderBytes);
}

TEST(FrameParser, RefusesWhatIsNotTheProtocol) {
  const std::string bad[] = {
      std::string("\x00\x00\x00\x01", 4), std::string("\x0d\x00\x00\x01", 4), "GET / HTTP/1.1",
      std::string("\x04\x00\x00\x00", 4),   // DATA of nothing
      std::string("\x04\x00\x3f\xfd", 4),   // DATA of 16381
      std::string("\x01\x00\x04\x01", 4),   // OPEN of 1025
      std::string("\x04\xff\xff\xff", 4),
  };
  for (const std::string& bytes : bad) {
    FrameParser parser;
    Feed(&parser, bytes, 100);
    EXPECT_NE(parser.error(), "") << bytes;
    EXPECT_FALSE(parser.complete());
    EXPECT_EQ(parser.data_left(), 0u);
    EXPECT_TRUE(parser.Space().empty()) << "asks for nothing more";
  }
}

TEST(Frame, EveryTypeAndReasonHasItsName) {
  for (uint8_t type = 1; type <= kLastFrameType; ++type) {
    EXPECT_NE(FrameTypeName(static_cast<FrameType>(type)), "unknown") << int{type};
  }
  EXPECT_EQ(FrameTypeName(static_cast<FrameType>(kLastFrameType + 1)), "unknown");
  for (uint8_t reason = 1; reason <= static_cast<uint8_t>(RefuseReason::kCancelled); ++reason) {
    EXPECT_NE(RefuseReasonName(static_cast<RefuseReason>(reason)), "other");
  }
  for (uint8_t reason = 1; reason <= static_cast<uint8_t>(ResetReason::kAnswer); ++reason) {
    EXPECT_NE(ResetReasonName(static_cast<ResetReason>(reason)), "other");
  }
  EXPECT_NE(GoAwayReasonName(GoAwayReason::kRotated), GoAwayReasonName(GoAwayReason::kDraining));
}

}  // namespace
}  // namespace lanyard
