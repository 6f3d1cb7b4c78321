#include "proxy/tls/tls_stream.h"

#include <openssl/ssl.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/fake_stream.h"
#include "proxy/io/listener.h"
#include "proxy/io/stream_contract_testing.h"
#include "proxy/io/tcp_stream.h"

namespace lanyard {
namespace {

constexpr size_t kBlockBytes = 80 << 10;

std::shared_ptr<const TlsContext> Context(const FakeLeaf& leaf, const BundleSet& bundles) {
  TlsContext::Options options;
  return TlsContext::Create(leaf.Svid(), bundles, std::make_shared<VerifyCache>(), SystemClock(), options).value();
}

struct Identities {
  FakeCa root = FakeCa::Root("example.org");
  FakeCa intermediate = root.Intermediate();
  std::shared_ptr<const TlsContext> web = Context(intermediate.Leaf("spiffe://example.org/web"), root.Bundles());
  std::shared_ptr<const TlsContext> api = Context(intermediate.Leaf("spiffe://example.org/api"), root.Bundles());
};
const Identities& Ids() {
  static const Identities* const identities = new Identities;
  return *identities;
}

// TLS over a pair of fakes, whose faults a test reaches by `left` and `right`.
class FakeTlsHarness : public StreamHarness {
 public:
  explicit FakeTlsHarness(FakeStream::Faults faults = {}) : faults_(faults) {}
  EventLoop* loop() override { return loop_.get(); }
  StreamEnds Connect() override { return Connect(*Ids().web, *Ids().api); }
  StreamEnds Connect(const TlsContext& client, const TlsContext& server) {
    auto [lower_left, lower_right] = FakeStream::Pair(loop_.get());
    lower_left->faults() = lower_right->faults() = faults_;
    left = lower_left.get();
    right = lower_right.get();
    return {std::make_unique<TlsStream>(std::move(lower_left), client.NewClient(), &pool),
            std::make_unique<TlsStream>(std::move(lower_right), server.NewServer(), &pool)};
  }

  BufferPool pool{kBlockBytes};
  FakeStream* left = nullptr;
  FakeStream* right = nullptr;

 private:
  FakeStream::Faults faults_;
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
};

class TcpTlsHarness : public StreamHarness {
 public:
  TcpTlsHarness() {
    EXPECT_TRUE(listener_
                    ->Start({[this](UniqueFd fd, const SocketAddress&) {
                               accepted_ = TcpStream::Accepted(loop_.get(), std::move(fd));
                             },
                             [](int) {}})
                    .ok());
  }
  EventLoop* loop() override { return loop_.get(); }
  StreamEnds Connect() override {
    auto dialled = TcpStream::Dialling(loop_.get(), listener_->address());
    EXPECT_TRUE(TurnUntil([this] { return accepted_ != nullptr; }));
    return {std::make_unique<TlsStream>(std::move(dialled), Ids().web->NewClient(), &pool_),
            std::make_unique<TlsStream>(std::move(accepted_), Ids().api->NewServer(), &pool_)};
  }

 private:
  BufferPool pool_{kBlockBytes};
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  std::unique_ptr<Listener> listener_ =
      Listener::Bind(loop_.get(), SocketAddress::Parse("127.0.0.1:0").value()).value();
  std::unique_ptr<TcpStream> accepted_;
};

// The same once records are opened and sealed without BoringSSL.
class TakenOverHarness : public FakeTlsHarness {
 public:
  using FakeTlsHarness::FakeTlsHarness;
  StreamEnds Connect() override {
    StreamEnds ends = FakeTlsHarness::Connect();
    EXPECT_TRUE(TurnUntil([&] {
      const IoStatus left = ends.left->Open().status, right = ends.right->Open().status;
      return left == IoStatus::kOk && right == IoStatus::kOk;
    }));
    Exchange(ends);
    return ends;
  }
  // Data each way, and once more, so that both sides have written after they read.
  void Exchange(const StreamEnds& ends) {
    StreamReader at_left(ends.left.get()), at_right(ends.right.get());
    for (size_t round = 1; round <= 2; ++round) {
      StreamWriter there(ends.left.get(), "x"), back(ends.right.get(), "y");
      EXPECT_TRUE(TurnUntil([&] { return there.Push() && (at_right.Drain() || at_right.bytes().size() == round); }));
      EXPECT_TRUE(TurnUntil([&] { return back.Push() && (at_left.Drain() || at_left.bytes().size() == round); }));
    }
    for (const auto* end : {&ends.left, &ends.right}) EXPECT_TRUE(static_cast<TlsStream*>(end->get())->has_records());
  }
};

std::unique_ptr<StreamHarness> OverFake() { return std::make_unique<FakeTlsHarness>(); }
std::unique_ptr<StreamHarness> OverShortReads() {
  FakeStream::Faults faults;
  faults.most_read = 4999;
  faults.most_write = 7001;
  return std::make_unique<FakeTlsHarness>(faults);
}
std::unique_ptr<StreamHarness> OverTcp() { return std::make_unique<TcpTlsHarness>(); }
std::unique_ptr<StreamHarness> TakenOver() { return std::make_unique<TakenOverHarness>(); }
std::unique_ptr<StreamHarness> TakenOverAndShort() {
  FakeStream::Faults faults;
  faults.most_read = 3001;
  faults.most_write = 5003;
  return std::make_unique<TakenOverHarness>(faults);
}
INSTANTIATE_TEST_SUITE_P(Tls, StreamContract,
                         testing::Values(OverFake, OverShortReads, OverTcp, TakenOver, TakenOverAndShort));

class TlsStreamTest : public testing::Test {
 protected:
  bool OpenBoth() {
    return harness_.TurnUntil([&] {
      const IoStatus left = ends_.left->Open().status, right = ends_.right->Open().status;
      return left != IoStatus::kWouldBlock && right != IoStatus::kWouldBlock;
    });
  }
  void Send(Stream* from, const std::string& text) {
    StreamWriter writer(from, text);
    ASSERT_TRUE(harness_.TurnUntil([&] { return writer.Push(); }));
  }
  FakeTlsHarness harness_;
  StreamEnds ends_ = harness_.Connect();
};

TEST_F(TlsStreamTest, KnowsWhoThePeerIs) {
  ASSERT_TRUE(OpenBoth());
  EXPECT_EQ(PeerOf(static_cast<TlsStream*>(ends_.left.get())->ssl())->id.ToString(), "spiffe://example.org/api");
  EXPECT_EQ(PeerOf(static_cast<TlsStream*>(ends_.right.get())->ssl())->id.ToString(), "spiffe://example.org/web");
}

TEST_F(TlsStreamTest, HoldsNoBufferWhenIdle) {
  ASSERT_TRUE(OpenBoth());
  Send(ends_.left.get(), TestBytes(50000, 1));
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || reader.bytes().size() == 50000; }));
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(TlsStreamTest, WhereMemoryIsShortItReadsNoMoreThanARecordAhead) {
  ASSERT_TRUE(OpenBoth());
  const std::string text = TestBytes(60000, 9);
  harness_.pool.set_frugal(true);
  Send(ends_.left.get(), text);
  // What a reader leaves stays below, where the sender sees it.
  uint8_t little[100];
  ASSERT_EQ(ends_.right->Read(little).status, IoStatus::kOk);
  EXPECT_GT(harness_.right->unread_bytes(), 40000u);
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    reader.Drain();
    return reader.bytes().size() == text.size() - sizeof(little);
  }));
  EXPECT_TRUE(reader.bytes() == text.substr(sizeof(little)));
}

TEST_F(TlsStreamTest, AsksTheStreamBelowAgainOnlyOnceItHasSpoken) {
  ASSERT_TRUE(OpenBoth());
  uint8_t byte = 0;
  ASSERT_EQ(ends_.right->Read({&byte, 1}).status, IoStatus::kWouldBlock);
  const uint8_t sent = 'x';
  ASSERT_EQ(ends_.left->Write({&sent, 1}).status, IoStatus::kOk);
  EXPECT_EQ(ends_.right->Read({&byte, 1}).status, IoStatus::kWouldBlock) << "it is there, but nobody said so";
  ASSERT_TRUE(harness_.TurnUntil([&] { return ends_.right->Read({&byte, 1}).status == IoStatus::kOk; }));
  EXPECT_EQ(byte, 'x');
}

TEST_F(TlsStreamTest, WhatIsLeftOfARecordNeedsNoWordFromBelow) {
  ASSERT_TRUE(OpenBoth());
  Send(ends_.left.get(), "abc");
  uint8_t byte = 0;
  ASSERT_TRUE(harness_.TurnUntil([&] { return ends_.right->Read({&byte, 1}).status == IoStatus::kOk; }));
  std::string got(1, static_cast<char>(byte));
  while (ends_.right->Read({&byte, 1}).status == IoStatus::kOk) got.push_back(static_cast<char>(byte));
  EXPECT_EQ(got, "abc");
}

TEST_F(TlsStreamTest, AnEndWithoutCloseNotifyIsTruncation) {
  ASSERT_TRUE(OpenBoth());
  Send(ends_.left.get(), "half of a message");
  harness_.left->ShutdownWrite();
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.bytes(), "half of a message") << "what came before is delivered";
  EXPECT_EQ(reader.last(), IoStatus::kError);
  EXPECT_EQ(ends_.right->error(), StreamError::kTruncated);
}

TEST_F(TlsStreamTest, DestroyingWithoutShutdownIsTruncationToo) {
  ASSERT_TRUE(OpenBoth());
  ends_.left.reset();
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(ends_.right->error(), StreamError::kTruncated);
}

TEST_F(TlsStreamTest, BytesThatDoNotDecryptAreAnError) {
  ASSERT_TRUE(OpenBoth());
  const std::string forged = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  harness_.left->Write({reinterpret_cast<const uint8_t*>(forged.data()), forged.size()});
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(ends_.right->error(), StreamError::kProtocol);
  EXPECT_EQ(reader.bytes(), "");
  StreamReader told(ends_.left.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return told.Drain(); }));
  EXPECT_EQ(ends_.left->error(), StreamError::kPeerAlert);
}

TEST_F(TlsStreamTest, GarbageInsteadOfAHandshakeIsAProtocolError) {
  const std::string request = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
  harness_.left->Write({reinterpret_cast<const uint8_t*>(request.data()), request.size()});
  ASSERT_TRUE(harness_.TurnUntil([&] { return ends_.right->Open().status == IoStatus::kError; }));
  EXPECT_EQ(ends_.right->error(), StreamError::kProtocol);
}

TEST_F(TlsStreamTest, ClosingDuringTheHandshakeIsAProtocolError) {
  ends_.left->Open();
  harness_.left->ShutdownWrite();
  ASSERT_TRUE(harness_.TurnUntil([&] { return ends_.right->Open().status == IoStatus::kError; }));
  EXPECT_EQ(ends_.right->error(), StreamError::kProtocol);
}

TEST_F(TlsStreamTest, AServerOfAnUnknownDomainIsNotVerified) {
  const FakeCa foreign = FakeCa::Root("foreign.example");
  ends_ = harness_.Connect(*Ids().web, *Context(foreign.Leaf("spiffe://foreign.example/api"), foreign.Bundles()));
  ASSERT_TRUE(harness_.TurnUntil([&] {
    ends_.right->Open();
    return ends_.left->Open().status == IoStatus::kError;
  }));
  EXPECT_EQ(ends_.left->error(), StreamError::kPeerNotVerified);
  const auto* client = static_cast<TlsStream*>(ends_.left.get());
  EXPECT_EQ(DefectOf(PeerVerificationError(client->ssl())), SvidDefect::kUnknownTrustDomain);
  ASSERT_TRUE(harness_.TurnUntil([&] { return ends_.right->Open().status == IoStatus::kError; }));
  EXPECT_EQ(ends_.right->error(), StreamError::kPeerAlert);
}

TEST_F(TlsStreamTest, AClientWithoutCertificateHasItsOwnError) {
  auto anonymous = TlsContext::CreateAnonymousClient(Ids().root.Bundles(), std::make_shared<VerifyCache>(),
                                                     SystemClock(), {})
                       .value();
  ends_ = harness_.Connect(*anonymous, *Ids().api);
  ASSERT_TRUE(harness_.TurnUntil([&] {
    ends_.left->Open();
    return ends_.right->Open().status == IoStatus::kError;
  }));
  EXPECT_EQ(ends_.right->error(), StreamError::kNoPeerCertificate);
}

TEST_F(TlsStreamTest, GoesOnFromBytesReadBeforeIt) {
  auto [client_lower, server_lower] = FakeStream::Pair(harness_.loop());
  TlsStream client(std::move(client_lower), Ids().web->NewClient(), &harness_.pool);
  client.Open();
  Buffer sniffed(&harness_.pool);
  const IoResult first = server_lower->Read(sniffed.space().first(100));
  ASSERT_EQ(first.status, IoStatus::kOk);
  sniffed.Produced(first.size_bytes);
  TlsStream server(std::move(server_lower), Ids().api->NewServer(), &harness_.pool);
  server.Prepend(sniffed);
  EXPECT_TRUE(harness_.TurnUntil([&] {
    return static_cast<int>(client.Open().status == IoStatus::kOk) + (server.Open().status == IoStatus::kOk) == 2;
  }));
}

TEST_F(TlsStreamTest, RefusingTellsThePeerByAnAlert) {
  ASSERT_TRUE(OpenBoth());
  static_cast<TlsStream*>(ends_.right.get())->Refuse();
  StreamReader reader(ends_.left.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kError);
}

TEST_F(TlsStreamTest, RecordsThatAreToBeFollowedWaitAndLeaveTogether) {
  ASSERT_TRUE(OpenBoth());
  auto* client = static_cast<TlsStream*>(ends_.left.get());
  const std::string text = TestBytes(3 * kMaxRecordBytes, 1);
  const auto record = [&](size_t at) {
    return absl::Span<const uint8_t>(reinterpret_cast<const uint8_t*>(text.data()) + at * kMaxRecordBytes,
                                     kMaxRecordBytes);
  };
  Send(ends_.left.get(), "x");
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || reader.bytes() == "x"; }));
  for (const size_t at : {0u, 1u}) ASSERT_EQ(client->WriteRecord(record(at), true).status, IoStatus::kOk);
  EXPECT_EQ(harness_.pool.lent(), 1u) << "gathered";
  ASSERT_EQ(client->WriteRecord(record(2), false).status, IoStatus::kOk);
  EXPECT_EQ(harness_.pool.lent(), 0u) << "all has left";
  ASSERT_TRUE(harness_.TurnUntil([&] { return reader.Drain() || reader.bytes().size() == text.size() + 1; }));
  EXPECT_TRUE(reader.bytes() == "x" + text);
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

TEST_F(TlsStreamTest, ARecordIsTakenWholeOrNotAtAll) {
  ASSERT_TRUE(OpenBoth());
  auto* client = static_cast<TlsStream*>(ends_.left.get());
  const std::string text = TestBytes(kMaxRecordBytes, 2);
  const absl::Span<const uint8_t> record(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  size_t taken = 0;
  for (const bool more : {true, false, true, true, true, true, true, true, true, true, false, false, false, false}) {
    const IoResult result = client->WriteRecord(record, more);
    if (result.status == IoStatus::kWouldBlock) continue;
    ASSERT_EQ(result.size_bytes, record.size());
    ++taken;
  }
  EXPECT_GT(taken, 4u);
  EXPECT_LT(taken, 14u) << "nobody reads";
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    client->Flush();
    return reader.Drain() || reader.bytes().size() == taken * text.size();
  }));
  for (size_t at = 0; at < taken; ++at) EXPECT_TRUE(reader.bytes().substr(at * text.size(), text.size()) == text);
}

TEST_F(TlsStreamTest, WhatIsTakenApartIsTheSameStreamWhenPutTogether) {
  ASSERT_TRUE(OpenBoth());
  const std::string rightward = TestBytes(60000, 3), leftward = TestBytes(200000, 4);
  auto* server = static_cast<TlsStream*>(ends_.right.get());
  Send(ends_.left.get(), rightward);
  StreamReader before(server);
  uint8_t byte = 0;  // so that most is ciphertext and part is plaintext that nobody took
  ASSERT_TRUE(harness_.TurnUntil([&] { return server->Read({&byte, 1}).status == IoStatus::kOk; }));
  StreamWriter writer(server, leftward);
  writer.Push();  // and some is on its way out
  TlsParts parts = server->Release();
  ASSERT_NE(parts.ssl, nullptr);
  EXPECT_FALSE(parts.received.empty());
  EXPECT_FALSE(parts.unsent.empty());
  const size_t unsent = parts.unsent.size();
  EXPECT_EQ(server->Read({&byte, 1}).status, IoStatus::kError);
  EXPECT_EQ(server->Release().ssl, nullptr) << "only once";
  ends_.right = TlsStream::Rebuild(std::move(parts), &harness_.pool);
  StreamReader at_left(ends_.left.get()), at_right(ends_.right.get());
  ASSERT_TRUE(harness_.TurnUntil([&] {
    ends_.right->Flush();
    at_left.Drain();
    at_right.Drain();
    return at_right.bytes().size() == rightward.size() - 1 && at_left.bytes().size() >= unsent;
  }));
  EXPECT_TRUE(at_right.bytes() == rightward.substr(1));
  EXPECT_TRUE(leftward.starts_with(at_left.bytes()));
  EXPECT_EQ(harness_.pool.lent(), 0u);
}

}  // namespace
}  // namespace lanyard
