#include "proxy/connection/move_message.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

MoveMessage Offer() {
  MoveMessage message{.kind = MoveKind::kOffer, .id = 0x1234567890ab};
  message.offer = {.opened = true,
                   .token = {},
                   .shard = 4294967295u,
                   .peer_id = "spiffe://example.org/api",
                   .listener = "out",
                   .source = "10.0.0.1:5555",
                   .dialled = "127.0.0.1:9001",
                   .destination = "10.0.0.2:9002",
                   .remote = "[fd00::2]:9002",
                   .application_source = "",
                   .application_target = "10.0.0.7:8080"};
  uint8_t next = 0;
  for (uint8_t& byte : message.offer.token) byte = std::exchange(next, static_cast<uint8_t>(next + 16));
  return message;
}

TEST(MoveMessage, AnOfferComesThroughWhole) {
  const std::string text = EncodeMove(Offer());
  const auto parsed = ParseMove(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->kind, MoveKind::kOffer);
  EXPECT_EQ(parsed->id, 0x1234567890abu);
  EXPECT_TRUE(parsed->offer.opened);
  EXPECT_EQ(parsed->offer.token, Offer().offer.token);
  EXPECT_EQ(parsed->offer.shard, 4294967295u);
  EXPECT_EQ(parsed->offer.peer_id, "spiffe://example.org/api");
  EXPECT_EQ(parsed->offer.remote, "[fd00::2]:9002");
  EXPECT_EQ(parsed->offer.application_source, "");
  EXPECT_EQ(parsed->offer.application_target, "10.0.0.7:8080");
  EXPECT_EQ(EncodeMove(*parsed), text);
}

TEST(MoveMessage, AnOfferIsOfOneWorkerInEitherProcess) {
  StreamToken token{};
  token[0] = 0xfe;
  token[1] = 3;
  const uint64_t id = MoveId(0x123456, token, 255);
  EXPECT_EQ(id, 0x123456feffu);
  EXPECT_EQ(WorkerBefore(id), 255u);
  for (const uint64_t workers : {1, 2, 3, 256}) EXPECT_EQ(WorkerNext(id, workers), WorkerNext(token, workers));
  EXPECT_EQ(WorkerNext(id, 256), 0xfeu);
  EXPECT_EQ(WorkerNext(id, 3), 254u % 3);
}

TEST(MoveMessage, TheOthersAreShort) {
  EXPECT_EQ(EncodeMove({.kind = MoveKind::kReady, .id = 7}), "ready\n7");
  EXPECT_EQ(EncodeMove({.kind = MoveKind::kGo, .id = 7}), "go\n7");
  EXPECT_EQ(EncodeMove({.kind = MoveKind::kCancel, .id = 7}), "cancel\n7");
  EXPECT_EQ(EncodeMove({.kind = MoveKind::kNo, .id = 7, .why = "two\nlines"}), "no\n7\ntwo?lines");
  const auto yours = ParseMove("yours\n9\n1\n0");
  ASSERT_TRUE(yours.ok());
  EXPECT_TRUE(yours->sent_end);
  EXPECT_FALSE(yours->received_end);
}

TEST(MoveMessage, WhatIsNotExactlySoIsRefused) {
  for (const char* text : {"", "\n", "offer", "offer\n7", "ready", "ready\n", "ready\n-1", "ready\n07", "ready\n 7",
                           "ready\n7\n", "go\n18446744073709551616", "no\n7", "no\n7\nwhy\nmore", "yours\n7\n1",
                           "yours\n7\n2\n0", "yours\n7\n1\n0\n", "Yours\n7\n1\n0", "cancel\n7\n8", "no\n7\n\x01"}) {
    EXPECT_FALSE(ParseMove(text).ok()) << text;
  }
  const std::string offer = EncodeMove(Offer());
  EXPECT_FALSE(ParseMove(offer + "\n").ok());
  EXPECT_FALSE(ParseMove(offer.substr(0, offer.rfind('\n'))).ok());
  std::string token = offer;
  token[token.find("00102030")] = 'G';
  EXPECT_FALSE(ParseMove(token).ok());
}

}  // namespace
}  // namespace lanyard
