// TlsStream against peers that do more than carry data: BoringSSL itself, and one that seals whatever a test wants.
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/fake_stream.h"
#include "proxy/io/stream_contract_testing.h"
#include "proxy/tls/tls_records.h"
#include "proxy/tls/tls_stream.h"

namespace lanyard {
namespace {

constexpr size_t kBlockBytes = 80 << 10;
constexpr char kTicket[] = "\x04\x00\x00\x03ttt";

std::string Text(absl::Span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }
absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::shared_ptr<const TlsContext> Identity() {
  static const FakeCa* const root = new FakeCa(FakeCa::Root("example.org"));
  static const auto* const identity = new std::shared_ptr<const TlsContext>(
      TlsContext::Create(root->Leaf("spiffe://example.org/web").Svid(), root->Bundles(),
                         std::make_shared<VerifyCache>(), SystemClock(), {}).value());
  return *identity;
}

// `stream_` is ours; the peer is BoringSSL's `peer_` behind `wire_`, until Forge takes its keys.
class TlsStreamPeers : public testing::TestWithParam<bool> {
 protected:
  TlsStreamPeers() {
    auto [lower, wire] = FakeStream::Pair(loop_.get(), 1 << 20);
    lower_ = lower.get();
    wire_ = std::move(wire);
    const bool client = GetParam();
    stream_ = std::make_unique<TlsStream>(
        std::move(lower), client ? Identity()->NewClient() : Identity()->NewServer(), &pool_);
    reader_ = std::make_unique<StreamReader>(stream_.get());
    peer_ = client ? Identity()->NewServer() : Identity()->NewClient();
    BIO* theirs = nullptr;
    BIO_new_bio_pair(&ours_, 1 << 20, &theirs, 1 << 20);
    SSL_set_bio(peer_.get(), theirs, theirs);
    EXPECT_TRUE(TurnUntil([&] {
      stream_->Open();
      const bool open = SSL_do_handshake(peer_.get()) == 1;
      Carry();
      return open && stream_->Open().status == IoStatus::kOk;
    }));
  }
  ~TlsStreamPeers() override { BIO_free(ours_); }

  bool TurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 5000 && !done(); ++turn) loop_->RunOnce(absl::Milliseconds(1));
    return done();
  }
  // Between the peer and the wire.
  void Carry() {
    uint8_t block[4096];
    for (int count; (count = BIO_read(ours_, block, sizeof(block))) > 0;) {
      wire_->Write({block, static_cast<size_t>(count)});
    }
    for (IoResult read{IoStatus::kOk}; (read = wire_->Read(block)).status == IoStatus::kOk;) {
      BIO_write(ours_, block, static_cast<int>(read.size_bytes));
    }
  }
  void PeerSays(const std::string& text) {
    ASSERT_EQ(SSL_write(peer_.get(), text.data(), static_cast<int>(text.size())), static_cast<int>(text.size()));
    Carry();
  }
  std::string PeerHears() {
    Carry();
    std::string all(1 << 20, '\0');
    size_t size = 0;
    for (int count; (count = SSL_read(peer_.get(), &all[size], static_cast<int>(all.size() - size))) > 0;) {
      size += static_cast<size_t>(count);
    }
    return all.substr(0, size);
  }
  void WeSay(const std::string& text) {
    StreamWriter writer(stream_.get(), text);
    ASSERT_TRUE(TurnUntil([&] { return writer.Push(); }));
  }
  // Data each way, after which our side opens and seals by itself.
  void Exchange() {
    for (size_t round = 1; round <= 2; ++round) {
      PeerSays("hello");
      ASSERT_TRUE(TurnUntil([&] { return reader_->Drain() || reader_->bytes().size() == 5 * round; }));
      WeSay("hello");
      ASSERT_EQ(PeerHears(), "hello");
    }
    heard_ = reader_->bytes().size();
    ASSERT_TRUE(stream_->has_records());
  }
  // From here on the test seals what the peer sends.
  void Forge() {
    Exchange();
    forger_ = TlsRecords::TakeOver(peer_.get());
    ASSERT_NE(forger_, nullptr);
  }
  struct Content {
    TlsRecords::Type type;
    std::string bytes;
  };
  // A record each.
  std::string Sealed(const std::vector<Content>& contents) {
    std::string all;
    for (const Content& content : contents) {
      std::vector<uint8_t> out(content.bytes.size() + TlsRecords::kMostBesideContent);
      out.resize(forger_->Seal(content.type, {}, Bytes(content.bytes), out.data()));
      all += Text(out);
    }
    return all;
  }
  std::string Sealed(const std::string& data) { return Sealed({{TlsRecords::kData, data}}); }
  void Put(const std::string& wire) {
    ASSERT_EQ(wire_->Write(Bytes(wire)).size_bytes, wire.size());
  }
  // All that was heard after Exchange, once the stream ended or failed.
  std::string HeardToTheEnd() {
    EXPECT_TRUE(TurnUntil([&] { return reader_->Drain(); }));
    return reader_->bytes().substr(heard_);
  }
  std::string HeardUntil(size_t size_bytes) {
    EXPECT_TRUE(TurnUntil([&] { return reader_->Drain() || reader_->bytes().size() >= heard_ + size_bytes; }));
    return reader_->bytes().substr(heard_);
  }
  // The alert that our side sent, opened with the forger's keys.
  int OurAlert() {
    uint8_t block[4096];
    const IoResult read = wire_->Read(block);
    if (read.status != IoStatus::kOk) return -1;
    const absl::Span<uint8_t> wire(block, read.size_bytes);
    const TlsRecords::Opened opened = forger_->Open(wire.first(TlsRecords::WireBytes(wire)));
    return opened.kind == TlsRecords::Kind::kAlert ? opened.alert : -1;
  }

  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  BufferPool pool_{kBlockBytes};
  FakeStream* lower_ = nullptr;
  std::unique_ptr<FakeStream> wire_;
  std::unique_ptr<TlsStream> stream_;
  bssl::UniquePtr<SSL> peer_;
  BIO* ours_ = nullptr;  // the peer's other end
  std::unique_ptr<TlsRecords> forger_;
  std::unique_ptr<StreamReader> reader_;
  size_t heard_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Client, TlsStreamPeers, testing::Bool());

TEST_P(TlsStreamPeers, KeyUpdatesInMidFlowChangeNoByte) {
  const std::string text = TestBytes(200000, 5);
  std::string said, answered;
  for (int round = 0; round < 6; ++round) {
    ASSERT_EQ(SSL_key_update(peer_.get(), round % 3 == 2 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED), 1);
    for (size_t at = 0; at < text.size(); at += 16000) PeerSays(text.substr(at, 16000));
    said += text;
    EXPECT_TRUE(HeardUntil(said.size()) == said) << round;
    StreamWriter writer(stream_.get(), text);
    answered.clear();
    ASSERT_TRUE(TurnUntil([&] {
      writer.Push();
      answered += PeerHears();
      return answered.size() >= text.size();
    }));
    EXPECT_TRUE(answered == text) << round;
  }
  EXPECT_TRUE(stream_->has_records());
}

TEST_P(TlsStreamPeers, AKeyUpdateBeforeTheFirstAnswerIsNotLost) {
  ASSERT_EQ(SSL_key_update(peer_.get(), SSL_KEY_UPDATE_REQUESTED), 1);
  PeerSays("hello");
  EXPECT_EQ(HeardUntil(5), "hello");
  ASSERT_EQ(SSL_key_update(peer_.get(), SSL_KEY_UPDATE_REQUESTED), 1);
  PeerSays("again");
  EXPECT_EQ(HeardUntil(10), "helloagain");
  WeSay("one");
  WeSay("two");
  EXPECT_EQ(PeerHears(), "onetwo");
  EXPECT_TRUE(stream_->has_records());
}

TEST_P(TlsStreamPeers, ATicketAfterDataIsPassedOverByAClientAndRefusedByAServer) {
  Forge();
  Put(Sealed({{TlsRecords::kData, "before"},
              {TlsRecords::kHandshake, std::string(kTicket, 7)},
              {TlsRecords::kData, "after"}}));
  if (GetParam()) {
    EXPECT_EQ(HeardUntil(11), "beforeafter");
    EXPECT_EQ(stream_->error(), StreamError::kNone);
  } else {
    EXPECT_EQ(HeardToTheEnd(), "before");
    EXPECT_EQ(stream_->error(), StreamError::kProtocol);
    EXPECT_EQ(OurAlert(), SSL_AD_UNEXPECTED_MESSAGE);
  }
}

TEST_P(TlsStreamPeers, AnAlertBetweenDataEndsItThere) {
  Forge();
  Put(Sealed({{TlsRecords::kData, "before"}, {TlsRecords::kAlert, "\x02\x31"}, {TlsRecords::kData, "after"}}));
  EXPECT_EQ(HeardToTheEnd(), "before");
  EXPECT_EQ(reader_->last(), IoStatus::kError);
  EXPECT_EQ(stream_->error(), StreamError::kPeerAlert);
  EXPECT_EQ(stream_->error_text(), "the peer sent the alert access denied");
}

TEST_P(TlsStreamPeers, WhatComesAfterCloseNotifyIsNotRead) {
  Forge();
  Put(Sealed({{TlsRecords::kData, "last"}, {TlsRecords::kAlert, std::string("\x01\x00", 2)}}) + "garbage");
  EXPECT_EQ(HeardToTheEnd(), "last");
  EXPECT_EQ(reader_->last(), IoStatus::kEnd);
  WeSay("the other half goes on");
  EXPECT_EQ(stream_->ShutdownWrite().status, IoStatus::kOk);
  EXPECT_EQ(pool_.lent(), 0u);
}

TEST_P(TlsStreamPeers, RecordsThatCannotBeAreAnsweredByAnAlert) {
  const struct {
    std::string wire;
    int alert;
  } cases[] = {
      {std::string("\x17\x03\x03\x41\x01", 5), SSL_AD_RECORD_OVERFLOW},  // said before it has come
      {std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'), SSL_AD_BAD_RECORD_MAC},
      {std::string("\x14\x03\x03\x00\x01\x01", 6), SSL_AD_UNEXPECTED_MESSAGE},
      {"", SSL_AD_UNEXPECTED_MESSAGE},  // nothing, over and over
  };
  for (const auto& each : cases) {
    auto [lower, wire] = FakeStream::Pair(loop_.get(), 1 << 20);
    auto records = TlsRecords::Create(0x1301, true, std::vector<uint8_t>(32, 1), std::vector<uint8_t>(32, 2));
    forger_ = TlsRecords::Create(0x1301, false, std::vector<uint8_t>(32, 2), std::vector<uint8_t>(32, 1));
    auto server = TlsStream::Rebuild({.lower = std::move(lower), .ssl = Identity()->NewServer(),
                                      .records = std::move(records), .received = "", .unsent = ""}, &pool_);
    wire_ = std::move(wire);
    Put(Sealed("good"));
    if (each.wire.empty()) {
      for (int i = 0; i <= TlsRecords::kMaxRecordsWithoutData; ++i) Put(Sealed(""));
    } else {
      Put(each.wire);
    }
    StreamReader reader(server.get());
    ASSERT_TRUE(TurnUntil([&] { return reader.Drain(); }));
    EXPECT_EQ(reader.bytes(), "good");
    EXPECT_EQ(server->error(), StreamError::kProtocol);
    EXPECT_EQ(OurAlert(), each.alert) << server->error_text();
    uint8_t byte = 0;
    EXPECT_EQ(server->Write({&byte, 1}).status, IoStatus::kError);
    server.reset();
    EXPECT_EQ(pool_.lent(), 0u);
  }
}

TEST_P(TlsStreamPeers, ManyRecordsInOneRead) {
  Forge();
  std::string wire, text;
  for (int i = 0; i < 400; ++i) {
    const std::string part = TestBytes(static_cast<size_t>(i) % 97, static_cast<uint32_t>(i));
    wire += Sealed(part);
    text += part;
  }
  Put(wire);
  EXPECT_TRUE(HeardUntil(text.size()) == text);
  EXPECT_EQ(pool_.lent(), 0u);
}

TEST_P(TlsStreamPeers, OfTheSmallestRecordsOneReadTakesSoManyAndSaysThatThereIsMore) {
  Forge();
  constexpr size_t kRecords = 3 * TlsStream::kRecordsPerRead;
  std::string wire;
  for (size_t i = 0; i < kRecords; ++i) wire += Sealed("x");
  Put(wire);
  uint8_t into[kRecords];
  IoResult read{IoStatus::kWouldBlock};
  ASSERT_TRUE(TurnUntil([&] {
    if (read.status == IoStatus::kWouldBlock) read = stream_->Read(into);
    return read.status != IoStatus::kWouldBlock;
  }));
  EXPECT_EQ(read.size_bytes, size_t{TlsStream::kRecordsPerRead});
  EXPECT_FALSE(read.drained);
  EXPECT_EQ(HeardUntil(kRecords - read.size_bytes), std::string(kRecords - read.size_bytes, 'x'));
}

// While BoringSSL still reads, which takes any number of session tickets.
TEST_P(TlsStreamPeers, TicketsWithoutDataEnd) {
  PeerSays("hello");
  ASSERT_TRUE(TurnUntil([&] { return reader_->Drain() || reader_->bytes().size() == 5; }));
  ASSERT_FALSE(stream_->has_records());
  forger_ = TlsRecords::TakeOver(peer_.get());
  ASSERT_NE(forger_, nullptr);
  // For an hour, without a nonce and extensions.
  const std::string ticket("\x04\x00\x00\x0e\x00\x00\x0e\x10\x00\x00\x00\x00\x00\x00\x01t\x00\x00", 18);
  std::string tickets;
  for (size_t i = 0; i <= TlsStream::kMaxTickets; ++i) tickets += ticket;
  Put(Sealed({{TlsRecords::kHandshake, tickets}, {TlsRecords::kData, "after"}}));
  EXPECT_EQ(HeardToTheEnd(), "hello");
  EXPECT_EQ(stream_->error(), StreamError::kProtocol) << stream_->error_text();
}

TEST_P(TlsStreamPeers, ARecordByteByByte) {
  Forge();
  lower_->faults().most_read = 1;
  const std::string text = TestBytes(3000, 1);
  Put(Sealed({{TlsRecords::kData, text}, {TlsRecords::kData, "and more"}}));
  EXPECT_TRUE(HeardUntil(text.size() + 8) == text + "and more");
}

TEST_P(TlsStreamPeers, FullRecordsOneByteShortOfTheBlocksEnd) {
  Forge();
  const std::string text = TestBytes(40 * kMaxRecordBytes, 2);
  std::string wire;
  for (size_t at = 0; at < text.size(); at += kMaxRecordBytes) {
    wire += Sealed(text.substr(at, kMaxRecordBytes));
  }
  lower_->faults().most_read = kBlockBytes - 1;
  Put(wire);
  EXPECT_TRUE(HeardUntil(text.size()) == text);
}

TEST_P(TlsStreamPeers, AnEndWithinARecordIsTruncation) {
  Forge();
  Put(Sealed("whole"));
  Put(Sealed("half").substr(0, 10));
  wire_->ShutdownWrite();
  EXPECT_EQ(HeardToTheEnd(), "whole");
  EXPECT_EQ(stream_->error(), StreamError::kTruncated);
}

TEST_P(TlsStreamPeers, NothingThatBoringSslStillSaysReachesTheWire) {
  Exchange();
  SSL* inner = const_cast<SSL*>(stream_->ssl());
  EXPECT_LE(SSL_write(inner, "secret", 6), 0);
  SSL_shutdown(inner);
  SSL_send_fatal_alert(inner, SSL_AD_ACCESS_DENIED);
  TakeTlsError();
  EXPECT_EQ(wire_->unread_bytes(), 0u);
  WeSay("ours");
  EXPECT_EQ(PeerHears(), "ours");
}

TEST_P(TlsStreamPeers, EndsWithCloseNotifyAndRefusesWithAnAlert) {
  Exchange();
  WeSay("last words");
  ASSERT_TRUE(TurnUntil([&] { return stream_->ShutdownWrite().status == IoStatus::kOk; }));
  EXPECT_EQ(PeerHears(), "last words");
  char byte = 0;
  EXPECT_EQ(SSL_get_error(peer_.get(), SSL_read(peer_.get(), &byte, 1)), SSL_ERROR_ZERO_RETURN);
  PeerSays("we still listen");
  EXPECT_EQ(HeardUntil(15), "we still listen");
}

TEST_P(TlsStreamPeers, RefusesWithAnAlert) {
  Forge();
  stream_->Refuse();
  EXPECT_EQ(wire_->unread_bytes(), 2 + TlsRecords::kOverheadBytes) << "an alert before the reset";
}

TEST_P(TlsStreamPeers, TakenApartWithinARecordItGoesOnElsewhere) {
  Forge();
  const std::string text = TestBytes(50000, 7);
  for (size_t at = 0; at < text.size(); at += 10000) Put(Sealed(text.substr(at, 10000)));
  uint8_t some[7001];
  size_t got = 0;
  ASSERT_TRUE(TurnUntil([&] { return got > 0 || (got = stream_->Read(some).size_bytes) > 0; }));
  ASSERT_EQ(got, sizeof(some));
  TlsParts parts = stream_->Release();
  ASSERT_NE(parts.records, nullptr);
  EXPECT_EQ(parts.opened_bytes, 10000 - sizeof(some));
  stream_ = TlsStream::Rebuild(std::move(parts), &pool_);
  StreamReader after(stream_.get());
  ASSERT_TRUE(TurnUntil([&] { return after.Drain() || after.bytes().size() == text.size() - sizeof(some); }));
  EXPECT_TRUE(Text(some) + after.bytes() == text);
  WeSay("from elsewhere");
  uint8_t block[100];
  const IoResult read = wire_->Read(block);
  EXPECT_EQ(Text(forger_->Open({block, read.size_bytes}).data), "from elsewhere");
}

}  // namespace
}  // namespace lanyard
