#include "proxy/tls/tls_records.h"

#include <openssl/aead.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/handshake_testing.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

using Kind = TlsRecords::Kind;
using Type = TlsRecords::Type;

// RFC 8448 section 3, of the client's application data.
constexpr char kClientSecret[] = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr char kServerSecret[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
constexpr char kClientKey[] = "17422dda596ed5d9acd890e3c63f5051";
constexpr char kClientIv[] = "5b78923dee08579033e523d9";
constexpr char kClientRecord[] =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2"
    "977014bd1e3deae63aeebb21694915e4";

std::vector<uint8_t> Bytes(absl::string_view text) { return {text.begin(), text.end()}; }
std::vector<uint8_t> FromHex(absl::string_view hex) { return Bytes(absl::HexStringToBytes(hex)); }
std::string Text(absl::Span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

std::vector<uint8_t> Sealed(TlsRecords* records, Type type, absl::string_view content) {
  std::vector<uint8_t> out(content.size() + TlsRecords::kMostBesideContent);
  out.resize(records->Seal(type, {}, Bytes(content), out.data()));
  return out;
}

// Two ends without BoringSSL.
struct Ends {
  explicit Ends(uint16_t suite = 0x1301, size_t secret_bytes = 32) {
    const std::vector<uint8_t> up(secret_bytes, 1), down(secret_bytes, 2);
    client = TlsRecords::Create(suite, false, down, up);
    server = TlsRecords::Create(suite, true, up, down);
  }
  TlsRecords::Opened Open(Type type, absl::string_view content) {
    record = Sealed(client.get(), type, content);
    return server->Open(absl::MakeSpan(record));
  }
  TlsRecords::Opened OpenAtClient(Type type, absl::string_view content) {
    record = Sealed(server.get(), type, content);
    return client->Open(absl::MakeSpan(record));
  }
  std::unique_ptr<TlsRecords> client, server;
  std::vector<uint8_t> record;
};

TEST(TlsRecords, SealsAndOpensAsTheStandardsExample) {
  std::vector<uint8_t> content(50);
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<uint8_t>(i);
  auto client = TlsRecords::Create(0x1301, false, FromHex(kServerSecret), FromHex(kClientSecret));
  auto server = TlsRecords::Create(0x1301, true, FromHex(kClientSecret), FromHex(kServerSecret));
  std::vector<uint8_t> record = Sealed(client.get(), TlsRecords::kData, Text(content));
  EXPECT_EQ(absl::BytesToHexString(Text(record)), kClientRecord);
  const TlsRecords::Opened opened = server->Open(absl::MakeSpan(record));
  EXPECT_EQ(opened.kind, Kind::kData);
  EXPECT_EQ(Text(opened.data), Text(content));
}

TEST(TlsRecords, KnowsTheSuitesOfTls13) {
  for (const auto& [suite, secret_bytes] : {std::pair<uint16_t, size_t>{0x1301, 32}, {0x1302, 48}, {0x1303, 32}}) {
    Ends ends(suite, secret_bytes);
    ASSERT_NE(ends.server, nullptr) << suite;
    for (const size_t size : {1u, 64u, 16384u}) {
      const std::string text(size, 'x');
      EXPECT_EQ(Text(ends.Open(TlsRecords::kData, text).data), text);
      EXPECT_EQ(Text(ends.OpenAtClient(TlsRecords::kData, text).data), text);
    }
  }
  EXPECT_EQ(Ends(0x1304).client, nullptr);
  EXPECT_EQ(Ends(0x1301, 48).client, nullptr);
}

TEST(TlsRecords, JoinsHeadAndBodyInOneRecord) {
  Ends ends;
  std::vector<uint8_t> out(7 + TlsRecords::kMostBesideContent);
  out.resize(ends.client->Seal(TlsRecords::kData, Bytes("head"), Bytes("one"), out.data()));
  EXPECT_EQ(out.size(), 7 + TlsRecords::kOverheadBytes);
  EXPECT_EQ(Text(ends.server->Open(absl::MakeSpan(out)).data), "headone");
  std::vector<uint8_t> large(kMaxRecordBytes + 100);
  const std::vector<uint8_t> too_much(kMaxRecordBytes, 'x');
  EXPECT_EQ(ends.client->Seal(TlsRecords::kData, Bytes("h"), too_much, large.data()), 0u);
}

TEST(TlsRecords, WhatIsAlteredRepeatedOrLeftOutDoesNotOpen) {
  for (const size_t at : {size_t{5}, size_t{10}, size_t{25}}) {
    Ends ends;
    std::vector<uint8_t> record = Sealed(ends.client.get(), TlsRecords::kData, "hello");
    record[at] ^= 1;
    const TlsRecords::Opened opened = ends.server->Open(absl::MakeSpan(record));
    EXPECT_EQ(opened.kind, Kind::kBroken);
    EXPECT_EQ(opened.alert, SSL_AD_BAD_RECORD_MAC);
  }
  Ends repeated;
  std::vector<uint8_t> record = Sealed(repeated.client.get(), TlsRecords::kData, "hello"), again = record;
  EXPECT_EQ(repeated.server->Open(absl::MakeSpan(record)).kind, Kind::kData);
  EXPECT_EQ(repeated.server->Open(absl::MakeSpan(again)).alert, SSL_AD_BAD_RECORD_MAC);
  Ends left_out;
  Sealed(left_out.client.get(), TlsRecords::kData, "first");
  EXPECT_EQ(left_out.Open(TlsRecords::kData, "second").alert, SSL_AD_BAD_RECORD_MAC);
}

TEST(TlsRecords, HeadersThatCannotBeAreRefused) {
  const struct {
    std::string record;
    uint8_t alert;
  } cases[] = {
      {std::string("\x14\x03\x03\x00\x01\x01", 6), SSL_AD_UNEXPECTED_MESSAGE},     // change_cipher_spec
      {std::string("\x15\x03\x03\x00\x02\x02\x32", 7), SSL_AD_UNEXPECTED_MESSAGE},  // an alert in the clear
      {std::string("\x17\x03\x04\x00\x20", 5) + std::string(32, 'x'), SSL_AD_PROTOCOL_VERSION},
      {std::string("\x17\x03\x03\x41\x01", 5), SSL_AD_RECORD_OVERFLOW},             // 16641 bytes are to follow
      {std::string("\x17\x03\x03\x00\x10", 5) + std::string(16, 'x'), SSL_AD_BAD_RECORD_MAC},
      {std::string("\x17\x03\x03\x00\x00", 5), SSL_AD_BAD_RECORD_MAC},
      {std::string("\x17\x03", 2), SSL_AD_UNEXPECTED_MESSAGE},
  };
  for (const auto& each : cases) {
    std::vector<uint8_t> record = Bytes(each.record);
    const TlsRecords::Opened opened = Ends().server->Open(absl::MakeSpan(record));
    EXPECT_EQ(opened.kind, Kind::kBroken);
    EXPECT_EQ(opened.alert, each.alert) << opened.why;
  }
  const std::vector<uint8_t> header = Bytes("\x17\x03\x03\x41\x01");
  for (size_t size = 0; size <= header.size(); ++size) {
    EXPECT_EQ(TlsRecords::WireBytes({header.data(), size}), size < header.size() ? 0u : 0x4101u + 5) << size;
  }
}

// Plaintext of any length, which Seal would not make.
std::vector<uint8_t> SealedByHand(size_t inner_bytes) {
  bssl::ScopedEVP_AEAD_CTX aead;
  const std::vector<uint8_t> key = FromHex(kClientKey), iv = FromHex(kClientIv);
  EXPECT_TRUE(EVP_AEAD_CTX_init(aead.get(), EVP_aead_aes_128_gcm(), key.data(), key.size(), 16, nullptr));
  std::vector<uint8_t> inner(inner_bytes, 'x'), record(TlsRecords::kHeaderBytes + inner_bytes + 16);
  inner.back() = TlsRecords::kData;
  const size_t length = inner_bytes + 16;
  const uint8_t header[] = {23, 3, 3, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)};
  std::copy_n(header, sizeof(header), record.begin());
  size_t size = 0;
  EXPECT_TRUE(EVP_AEAD_CTX_seal(aead.get(), record.data() + 5, &size, length, iv.data(), iv.size(), inner.data(),
                                inner.size(), header, sizeof(header)));
  return record;
}

TEST(TlsRecords, PlaintextIsNoLongerThanItMayBe) {
  for (const size_t inner_bytes : {kMaxRecordBytes + 1, kMaxRecordBytes + 2}) {
    auto server = TlsRecords::Create(0x1301, true, FromHex(kClientSecret), FromHex(kServerSecret));
    std::vector<uint8_t> record = SealedByHand(inner_bytes);
    const TlsRecords::Opened opened = server->Open(absl::MakeSpan(record));
    if (inner_bytes == kMaxRecordBytes + 1) {
      EXPECT_EQ(opened.data.size(), kMaxRecordBytes);
    } else {
      EXPECT_EQ(opened.alert, SSL_AD_RECORD_OVERFLOW);
    }
  }
}

TEST(TlsRecords, PaddingIsTakenOff) {
  Ends ends;
  const auto none = static_cast<Type>(0);
  EXPECT_EQ(Text(ends.Open(none, std::string("padded\x17\0\0\0", 10)).data), "padded");
  EXPECT_EQ(ends.Open(none, std::string("\x17\0", 2)).kind, Kind::kNothing);
  EXPECT_EQ(ends.Open(none, std::string("\0\0\0", 3)).alert, SSL_AD_UNEXPECTED_MESSAGE) << "padding alone";
}

TEST(TlsRecords, AlertsAreTakenAsBoringSslTakesThem) {
  const struct {
    std::string content;
    Kind kind;
    uint8_t alert;
  } cases[] = {
      {std::string("\x01\x00", 2), Kind::kEnd, SSL_AD_CLOSE_NOTIFY},
      {"\x02\x31", Kind::kAlert, SSL_AD_ACCESS_DENIED},
      {std::string("\x02\x00", 2), Kind::kAlert, SSL_AD_CLOSE_NOTIFY},
      {"\x01\x5a", Kind::kNothing, 0},
      {"\x01\x31", Kind::kBroken, SSL_AD_DECODE_ERROR},
      {"\x03\x31", Kind::kBroken, SSL_AD_ILLEGAL_PARAMETER},
      {"\x01", Kind::kBroken, SSL_AD_DECODE_ERROR},
      {"", Kind::kBroken, SSL_AD_DECODE_ERROR},
      {"\x02\x31\x02\x31", Kind::kBroken, SSL_AD_DECODE_ERROR},
  };
  for (const auto& each : cases) {
    const TlsRecords::Opened opened = Ends().Open(TlsRecords::kAlert, each.content);
    EXPECT_EQ(opened.kind, each.kind) << absl::BytesToHexString(each.content);
    EXPECT_EQ(opened.alert, each.alert) << absl::BytesToHexString(each.content);
  }
}

TEST(TlsRecords, HandshakeMessagesOutOfTurnAreRefused) {
  const struct {
    std::string content;
    uint8_t alert;
  } cases[] = {
      {"", SSL_AD_UNEXPECTED_MESSAGE},
      {std::string("\x04\x00\x00\x02xx", 6), SSL_AD_UNEXPECTED_MESSAGE},              // a ticket to a server
      {std::string("\x01\x00\x00\x02xx", 6), SSL_AD_UNEXPECTED_MESSAGE},              // ClientHello
      {std::string("\x18\x00\x00\x02\x00\x00", 6), SSL_AD_DECODE_ERROR},              // key updates:
      {std::string("\x18\x00\x00\x00", 4), SSL_AD_DECODE_ERROR},
      {std::string("\x18\x00\x00\x01\x02", 5), SSL_AD_ILLEGAL_PARAMETER},
      {std::string("\x18\x00\x00\x01\x00\x18", 6), SSL_AD_UNEXPECTED_MESSAGE},        // not the record's last
  };
  for (const auto& each : cases) {
    const TlsRecords::Opened opened = Ends().Open(TlsRecords::kHandshake, each.content);
    EXPECT_EQ(opened.kind, Kind::kBroken) << absl::BytesToHexString(each.content);
    EXPECT_EQ(opened.alert, each.alert) << absl::BytesToHexString(each.content);
  }
  EXPECT_EQ(Ends().Open(static_cast<Type>(20), "x").alert, SSL_AD_UNEXPECTED_MESSAGE);
}

TEST(TlsRecords, AClientPassesOverLateTickets) {
  Ends ends;
  const std::string ticket = std::string("\x04\x00\x01\x00", 4) + std::string(256, 't');
  EXPECT_EQ(ends.OpenAtClient(TlsRecords::kHandshake, ticket + ticket).kind, Kind::kNothing);
  EXPECT_EQ(Text(ends.OpenAtClient(TlsRecords::kData, "between").data), "between");
  for (size_t at = 0; at < ticket.size(); at += 13) {
    EXPECT_EQ(ends.OpenAtClient(TlsRecords::kHandshake, ticket.substr(at, 13)).kind, Kind::kNothing) << at;
  }
  EXPECT_EQ(Text(ends.OpenAtClient(TlsRecords::kData, "after").data), "after");
  EXPECT_EQ(ends.OpenAtClient(TlsRecords::kHandshake, ticket.substr(0, 100)).kind, Kind::kNothing);
  EXPECT_EQ(ends.OpenAtClient(TlsRecords::kData, "within").alert, SSL_AD_UNEXPECTED_MESSAGE);
  EXPECT_EQ(Ends().OpenAtClient(TlsRecords::kHandshake, std::string("\x04\x00\x40\x01", 4)).alert,
            SSL_AD_ILLEGAL_PARAMETER);
  EXPECT_EQ(Ends().OpenAtClient(TlsRecords::kHandshake, std::string("\x04\x00\x00\x00", 4)).alert,
            SSL_AD_DECODE_ERROR);
}

TEST(TlsRecords, NobodyKeepsItBusyWithNothing) {
  Ends ends;
  for (int i = 0; i < TlsRecords::kMaxRecordsWithoutData; ++i) {
    ASSERT_EQ(ends.Open(TlsRecords::kData, "").kind, Kind::kNothing);
  }
  EXPECT_EQ(ends.Open(TlsRecords::kData, "").alert, SSL_AD_UNEXPECTED_MESSAGE);
  Ends warned;
  for (int i = 0; i < TlsRecords::kMaxRecordsWithoutData; ++i) warned.Open(TlsRecords::kAlert, "\x01\x5a");
  EXPECT_EQ(warned.Open(TlsRecords::kData, "").alert, SSL_AD_UNEXPECTED_MESSAGE);
}

TEST(TlsRecords, AByteNowAndThenPaysForOneRecordWithoutData) {
  Ends ends;
  for (int round = 0; round < 500; ++round) {
    ASSERT_EQ(ends.Open(TlsRecords::kData, "").kind, Kind::kNothing) << round;
    ASSERT_EQ(ends.Open(TlsRecords::kData, "x").kind, Kind::kData) << round;
  }
  for (int i = 0; i < TlsRecords::kMaxRecordsWithoutData; ++i) {
    ASSERT_EQ(ends.Open(TlsRecords::kData, "").kind, Kind::kNothing) << i;
  }
  ASSERT_EQ(ends.Open(TlsRecords::kData, "x").kind, Kind::kData);
  ASSERT_EQ(ends.Open(TlsRecords::kData, "").kind, Kind::kNothing);
  EXPECT_EQ(ends.Open(TlsRecords::kData, "").alert, SSL_AD_UNEXPECTED_MESSAGE);
}

TEST(TlsRecords, TakesANewKeyInTime) {
  Ends ends;
  ends.client->set_records_per_key(3);
  for (int i = 0; i < 20; ++i) {
    std::vector<uint8_t> wire = Sealed(ends.client.get(), TlsRecords::kData, "x");
    ASSERT_EQ(wire.size(), i == 0 || i % 3 != 0 ? 1 + TlsRecords::kOverheadBytes : 1 + TlsRecords::kMostBesideContent);
    absl::Span<uint8_t> left = absl::MakeSpan(wire);
    TlsRecords::Opened opened;
    while (!left.empty()) {
      opened = ends.server->Open(left.first(TlsRecords::WireBytes(left)));
      left.remove_prefix(TlsRecords::WireBytes(left));
    }
    ASSERT_EQ(Text(opened.data), "x") << i;
  }
}

// One end of a connection of BoringSSL's, taken over; the other is BoringSSL still.
class TakenOver : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(handshake_.Succeeded());
    EXPECT_EQ(Send(handshake_.client.get(), handshake_.server.get(), "up"), "up");
    EXPECT_EQ(Send(handshake_.server.get(), handshake_.client.get(), "down"), "down");
    const bool client = GetParam();
    ours_ = (client ? handshake_.client : handshake_.server).get();
    theirs_ = (client ? handshake_.server : handshake_.client).get();
    records_ = TlsRecords::TakeOver(ours_);
    ASSERT_NE(records_, nullptr);
  }
  std::string ToBoringSsl(absl::string_view text) {
    const std::vector<uint8_t> wire = Sealed(records_.get(), TlsRecords::kData, text);
    EXPECT_EQ(BIO_write(SSL_get_wbio(ours_), wire.data(), static_cast<int>(wire.size())),
              static_cast<int>(wire.size()));
    std::string read(text.size(), '\0');
    const int got = SSL_read(theirs_, read.data(), static_cast<int>(read.size()));
    return got <= 0 ? TakeTlsError() : read.substr(0, static_cast<size_t>(got));
  }
  std::string FromBoringSsl(absl::string_view text) {
    EXPECT_GT(SSL_write(theirs_, text.data(), static_cast<int>(text.size())), 0);
    std::vector<uint8_t> wire(100000);
    wire.resize(static_cast<size_t>(BIO_read(SSL_get_rbio(ours_), wire.data(), static_cast<int>(wire.size()))));
    std::string all;
    for (absl::Span<uint8_t> left = absl::MakeSpan(wire); !left.empty();) {
      const size_t size = TlsRecords::WireBytes(left);
      all += Text(records_->Open(left.first(size)).data);
      left.remove_prefix(size);
    }
    return all;
  }

  FakeCa root_ = FakeCa::Root("example.org");
  std::shared_ptr<const TlsContext> identity_ =
      TlsContext::Create(root_.Leaf("spiffe://example.org/web").Svid(), root_.Bundles(),
                         std::make_shared<VerifyCache>(), SystemClock(), {}).value();
  TestHandshake handshake_ = RunHandshake(identity_->NewClient(), identity_->NewServer());
  SSL* ours_ = nullptr;
  SSL* theirs_ = nullptr;
  std::unique_ptr<TlsRecords> records_;
};
INSTANTIATE_TEST_SUITE_P(Side, TakenOver, testing::Bool());

TEST_P(TakenOver, GoesOnWhereBoringSslStood) {
  for (const size_t size : {1u, 2u, 64u, 4096u, 16383u, 16384u}) {
    const std::string text(size, static_cast<char>('a' + size % 26));
    EXPECT_EQ(ToBoringSsl(text), text);
    EXPECT_EQ(FromBoringSsl(text), text);
  }
}

TEST_P(TakenOver, FollowsBoringSslsKeyUpdatesAndAnswersOnce) {
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(SSL_key_update(theirs_, round % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    EXPECT_EQ(FromBoringSsl("with a new key"), "with a new key");
    EXPECT_EQ(FromBoringSsl("once more"), "once more");
    EXPECT_EQ(ToBoringSsl("answered"), "answered");
    EXPECT_EQ(ToBoringSsl("and on"), "and on");
  }
  records_->set_records_per_key(2);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ToBoringSsl("ours"), "ours");
}

TEST_P(TakenOver, BoringSslUnderstandsItsEnd) {
  const uint8_t close_notify[] = {1, 0};
  std::vector<uint8_t> wire(100);
  const size_t size = records_->Seal(TlsRecords::kAlert, {}, close_notify, wire.data());
  ASSERT_EQ(BIO_write(SSL_get_wbio(ours_), wire.data(), static_cast<int>(size)), static_cast<int>(size));
  char byte;
  EXPECT_EQ(SSL_get_error(theirs_, SSL_read(theirs_, &byte, 1)), SSL_ERROR_ZERO_RETURN);
}

TEST(TlsRecords, AHandshakeThatIsNotOverCannotBeTakenOver) {
  const bssl::UniquePtr<SSL> ssl = RawPeer().NewClient();
  EXPECT_EQ(TlsRecords::TakeOver(ssl.get()), nullptr);
}

}  // namespace
}  // namespace lanyard
