#include "proxy/connection/inbound.h"

#include <algorithm>
#include <string>

#include "proxy/connection/connection_testing.h"
#include "proxy/connection/proxy_header.h"

namespace lanyard {
namespace {

class InboundTest : public ConnectionTest {
 protected:
  ~InboundTest() override {
    table_.CloseAll();
    loop_->RunOnce(absl::ZeroDuration());  // before few_, which they hold places of
  }
  InboundPlaces few_{2, 3};
  uint64_t Closed(CloseReason reason) const { return Closes(Flow::kInbound, reason); }
  // The workload's end, once it was dialled.
  FakeStream* workload() { return dialer_.answerers.back().get(); }
  bool Dialled() { return TurnUntil([&] { return !dialer_.dialled.empty(); }); }
};

TEST_F(InboundTest, AShortWordAndAnEndAreDecidedAtOnce) {
  View(InboundView());
  auto arrival = Arrive(inbound_);
  // A part of a record's header, and the end: both are there before the connection looks.
  ASSERT_TRUE(Write(caller_.get(), std::string("\x16\x03\x01", 3)));
  caller_->ShutdownWrite();
  InboundConnection::Start(&context_, std::move(arrival));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Closes(Flow::kInbound, CloseReason::kPlaintextRefused), 1u);
}

TEST_F(InboundTest, TheWorkloadIsDialledOnlyOnceTheCallerIsAllowed) {
  View(InboundView());
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    EXPECT_TRUE(dialer_.dialled.empty() || counters_.handshakes_full.value() == 1);
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  EXPECT_EQ(dialer_.dialled.front().ToString(), "10.0.0.2:8080");
  ASSERT_TRUE(TurnUntil([&] { return Write(caller.get(), "hello"); }));
  StreamReader reader(workload());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "hello";
  }));
  EXPECT_EQ(Only().peer_id, kWebId);
  EXPECT_EQ(Only().rule, "callers");
}

TEST_F(InboundTest, TheWorkloadIsCalledFromTheCallersAddressWhenAsked) {
  View(InboundView());
  inbound_.preserve_source = true;
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  ASSERT_EQ(dialer_.sources.size(), 1u);
  EXPECT_EQ(dialer_.sources[0].HostString(), "10.0.0.1");
  EXPECT_EQ(dialer_.last_hops, 1) << "that it comes back here is found all the same";
}

TEST_F(InboundTest, ACallerThatNoRuleAllowsIsToldByAnAlert) {
  View(InboundView("spiffe://example.org/other"));
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Closed(CloseReason::kDeniedByPolicy), 1u);
  StreamReader reader(caller.get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kError);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(InboundTest, WithAWithdrawnIdentityNobodyIsLetInByIt) {
  auto view = InboundView(kWebId, true);
  view->identity_withdrawn = true;
  View(view);
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return table_.size() == 0;
  }));
  EXPECT_EQ(Closed(CloseReason::kIdentityWithdrawn), 1u);
  EXPECT_EQ(counters_.handshakes_full.value(), 0u);
  EXPECT_TRUE(dialer_.dialled.empty());
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "GET / HTTP/1.1\r\n"));
  EXPECT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == 1; })) << "plaintext shows no identity";
}

TEST_F(InboundTest, TheFirstBytesMayComeOneByOne) {
  View(InboundView());
  FakeStream::Faults slow;
  slow.most_read = 1;
  InboundConnection::Start(&context_, Arrive(inbound_, slow));
  auto caller = CallTls(web_);
  EXPECT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
}

TEST_F(InboundTest, PlaintextToAStrictPortIsRefusedAtTheFirstByte) {
  View(InboundView());
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "G"));
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closed(CloseReason::kPlaintextRefused), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(InboundTest, ASilentCallerOfAStrictPortHasUntilHandshakeTimeout) {
  View(InboundView());
  CallIn();
  EXPECT_EQ(Only().state, "sniffing");
  EXPECT_EQ(TimeUntilClosed(), context_.limits.handshake_timeout);
  EXPECT_EQ(Closed(CloseReason::kHandshakeTimeout), 1u);
}

TEST_F(InboundTest, AHandshakeThatDragsOnDoesNotGetMoreTime) {
  View(InboundView());
  CallIn();
  clock_.Advance(context_.limits.handshake_timeout / 2);
  ASSERT_TRUE(Write(caller_.get(), std::string("\x16\x03\x01\x00\xc8\x01", 6)));
  ASSERT_TRUE(TurnUntil([&] { return Only().state == "handshaking"; }));
  EXPECT_EQ(TimeUntilClosed(), context_.limits.handshake_timeout / 2);
}

TEST_F(InboundTest, ACallerThatLeavesWithoutAWordIsAFailedHandshake) {
  View(InboundView());
  CallIn();
  caller_.reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closed(CloseReason::kHandshakeFailed), 1u);
}

TEST_F(InboundTest, OnAPermissivePortASilentCallerIsPlaintextAfterSniffTimeout) {
  View(InboundView(kWebId, true));
  CallIn();
  const absl::Duration start = clock_.Monotonic();
  while (dialer_.dialled.empty()) loop_->RunOnce(absl::InfiniteDuration());
  EXPECT_EQ(clock_.Monotonic() - start, context_.limits.sniff_timeout);
  ASSERT_TRUE(Write(workload(), "220 ready\r\n"));
  StreamReader reader(caller_.get());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "220 ready\r\n";
  }));
}

TEST_F(InboundTest, OnAPermissivePortTheFirstBytesOfPlaintextAreNotLost) {
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "GET / HTTP/1.1\r\n"));
  ASSERT_TRUE(Dialled());
  StreamReader reader(workload());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == "GET / HTTP/1.1\r\n";
  }));
  EXPECT_EQ(Only().peer_id, "");
  EXPECT_EQ(Only().rule, "callers");
}

TEST_F(InboundTest, OnAPermissivePortAPeerNeedNotSpeakAlpn) {
  View(InboundView(kWebId, true));
  CallIn();
  auto plain = TlsContext::Create(TestIdentities::Get().web.Svid(), TestIdentities::Get().root.Bundles(),
                                  std::make_shared<VerifyCache>(), clock_, TlsContext::Options{})
                   .value();
  auto caller = CallTls(plain);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  EXPECT_EQ(Only().peer_id, kWebId);
}

TEST_F(InboundTest, OnAPermissivePortTlsForAnotherProtocolIsTheApplicationsOwn) {
  View(InboundView(kWebId, true));
  CallIn();
  auto other = TlsContext::Create(TestIdentities::Get().web.Svid(), TestIdentities::Get().root.Bundles(),
                                  std::make_shared<VerifyCache>(), clock_, TlsContext::Options{.alpn = {"http/1.1"}})
                   .value();
  auto caller = CallTls(other);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  EXPECT_EQ(counters_.handshakes_in_flight.value(), 0u);
  StreamReader reader(workload());
  ASSERT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes().size() > 100;
  }));
  EXPECT_EQ(reader.bytes()[0], '\x16') << "the ClientHello itself arrives";
}

TEST_F(InboundTest, APolicyThatTurnsStrictWhileACallerIsSilentRefusesIt) {
  View(InboundView(kWebId, true));
  CallIn();
  View(InboundView(kWebId, false));
  EXPECT_EQ(table_.size(), 1u) << "not decided yet";
  TimeUntilClosed();
  EXPECT_EQ(Closed(CloseReason::kPlaintextRefused), 1u);
}

TEST_F(InboundTest, AWorkloadThatRefusesIsAResetForTheCaller) {
  View(InboundView(kWebId, true));
  dialer_.next_faults.fail_open = StreamError::kRefused;
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "hello"));
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closed(CloseReason::kConnectRefused), 1u);
  StreamReader reader(caller_.get());
  ASSERT_TRUE(TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(caller_->error(), StreamError::kReset);
}

TEST_F(InboundTest, APeerHasSoManyConnectionsAndThenANewOneForEachThatEnds) {
  context_.places = &few_;
  View(InboundView());
  std::vector<std::unique_ptr<TlsStream>> callers;
  const auto call = [&] {
    CallIn();
    callers.push_back(CallTls(web_));
    const uint64_t refused = Closed(CloseReason::kLimitPeerConnections), dialled = dialer_.dialled.size();
    EXPECT_TRUE(TurnUntil([&] {
      callers.back()->Open();
      return dialer_.dialled.size() > dialled || Closed(CloseReason::kLimitPeerConnections) > refused;
    }));
    return dialer_.dialled.size() > dialled;
  };
  EXPECT_TRUE(call());
  EXPECT_TRUE(call());
  EXPECT_FALSE(call());
  EXPECT_EQ(TimesReached(Limit::kConnectionsPerPeer), 1u);
  EXPECT_EQ(table_.size(), 2u) << "those within the limit stay";
  callers.front()->Reset();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 1; }));
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_TRUE(call());
}

TEST_F(InboundTest, ASourceHasSoManyCallersThatAreNotKnownYet) {
  context_.places = &few_;
  View(InboundView());
  std::vector<std::unique_ptr<FakeStream>> silent;
  for (int i = 0; i < 3; ++i) {
    CallIn();
    silent.push_back(std::move(caller_));
  }
  EXPECT_EQ(table_.size(), 3u);
  CallIn();
  EXPECT_EQ(table_.size(), 3u);
  EXPECT_EQ(Closed(CloseReason::kLimitSourceConnections), 1u);
  EXPECT_EQ(TimesReached(Limit::kConnectionsPerSource), 1u);
  silent.pop_back();
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 2; }));
  loop_->RunOnce(absl::ZeroDuration());
  CallIn();
  EXPECT_EQ(table_.size(), 3u) << "one has left";
}

TEST_F(InboundTest, WhereOthersNeedRoomTheFirstUnknownCallerOfTheAddressThatHasMostGoes) {
  View(InboundView());
  std::vector<std::unique_ptr<FakeStream>> silent;
  const auto call = [&](const std::string& source) {
    Arrival arrival = Arrive(inbound_);
    arrival.source = SocketAddress::Parse(source).value();
    InboundConnection::Start(&context_, std::move(arrival));
    silent.push_back(std::move(caller_));
  };
  call("10.0.0.9:1");
  for (int i = 0; i < 3; ++i) call("10.0.0.8:1");
  EXPECT_EQ(table_.unknown(), 4u);
  const auto of_the_first = [&] {
    const std::vector<ConnectionRecord> records = table_.List();
    return std::count_if(records.begin(), records.end(),
                         [](const ConnectionRecord& record) { return record.source == "10.0.0.9:1"; });
  };
  const std::string other = SourceKey(SocketAddress::Parse("10.0.0.7:1").value());
  EXPECT_TRUE(table_.EndUnknownFor(other));
  EXPECT_TRUE(table_.EndUnknownFor(other));
  EXPECT_FALSE(table_.EndUnknownFor(other)) << "all have as many";
  EXPECT_EQ(of_the_first(), 1);
  clock_.Advance(ConnectionTable::kUnknownGrace);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_TRUE(table_.EndUnknownFor(other)) << "it could have said who it is";
  EXPECT_EQ(of_the_first(), 0);
  EXPECT_TRUE(table_.EndUnknown());
  EXPECT_FALSE(table_.EndUnknown());
  EXPECT_FALSE(table_.EndUnknownFor(other));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Closed(CloseReason::kLimitUnauthenticated), 4u);
  EXPECT_EQ(TimesReached(Limit::kConnections), 4u);
}

TEST_F(InboundTest, WhoIsLetInIsNotAmongTheUnknown) {
  View(InboundView(kWebId, true));
  std::vector<std::unique_ptr<FakeStream>> callers;
  for (size_t i = 0; i < 6; ++i) {
    CallIn();
    callers.push_back(std::move(caller_));
    ASSERT_TRUE(Write(callers.back().get(), "GET / HTTP/1.1\r\n"));
    ASSERT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == i + 1; }));
    EXPECT_EQ(table_.unknown(), 0u);
  }
  CallIn();
  EXPECT_EQ(table_.unknown(), 1u);
  EXPECT_EQ(table_.size(), 7u);
  EXPECT_EQ(Closed(CloseReason::kLimitUnauthenticated), 0u);
}

TEST_F(InboundTest, WhoIsKnownNoLongerCountsForItsSource) {
  context_.places = &few_;
  View(InboundView(kWebId, true));
  for (int i = 0; i < 5; ++i) {
    CallIn();
    ASSERT_TRUE(Write(caller_.get(), "GET / HTTP/1.1\r\n"));
    ASSERT_TRUE(TurnUntil([&] { return dialer_.dialled.size() == static_cast<size_t>(i) + 1; }));
  }
  EXPECT_EQ(Closed(CloseReason::kLimitSourceConnections), 0u);
  EXPECT_EQ(few_.by_source.keys(), 0u);
}

TEST_F(InboundTest, ALoopIsRefused) {
  View(InboundView(kWebId, true));
  loop_detail_ = "it is a circle";
  CallIn();
  EXPECT_EQ(Closed(CloseReason::kLoopDetected), 1u);
}

TEST_F(InboundTest, WhoIsLedToLoopbackIsRefused) {
  View(InboundView(kWebId, true));
  misdirected_ = true;
  CallIn();
  EXPECT_EQ(Closed(CloseReason::kMisdirected), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

// Servers that are told who calls.
class ServerHeaderTest : public InboundTest {
 protected:
  void Told(ProxyProtocol version) { inbound_.server_headers = {{{8080}, version}}; }
  std::string ServerHears(const std::string& last) {
    std::string heard;
    StreamReader reader(workload());
    EXPECT_TRUE(TurnUntil([&] {
      reader.Drain();
      heard = reader.bytes();
      return heard.size() >= last.size() && heard.substr(heard.size() - last.size()) == last;
    })) << heard;
    return heard;
  }
};

TEST_F(ServerHeaderTest, ComesBeforeThePlaintextThatDecided) {
  Told(ProxyProtocol::kV1);
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "GET /"));
  ASSERT_TRUE(Dialled());
  EXPECT_EQ(ServerHears("GET /"), "PROXY TCP4 10.0.0.1 10.0.0.2 40000 8080\r\nGET /");
  EXPECT_EQ(Only().bytes_sent, 5u) << "the header is not the caller's";
}

TEST_F(ServerHeaderTest, CarriesTheIdThatTheCallerProved) {
  Told(ProxyProtocol::kV2);
  View(InboundView());
  CallIn();
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  const std::string header =
      WriteProxyHeader(ProxyProtocol::kV2, SocketAddress::Parse("10.0.0.1:40000").value(),
                       SocketAddress::Parse("10.0.0.2:8080").value(), kWebId);
  EXPECT_EQ(ServerHears(header), header) << "before the caller says a word: the server may be the first to speak";
}

TEST_F(ServerHeaderTest, OtherPortsServersAreToldNothing) {
  inbound_.server_headers = {{{8081}, ProxyProtocol::kV1}};
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "GET /"));
  ASSERT_TRUE(Dialled());
  EXPECT_EQ(ServerHears("GET /"), "GET /");
}

// Listeners whose callers begin with a header.
class AcceptedHeaderTest : public InboundTest {
 protected:
  AcceptedHeaderTest() {
    inbound_.accepted_header = {{AddressBlock::Parse("10.0.0.0/24").value()}, absl::Seconds(3)};
  }
  static constexpr char kHeader[] = "PROXY TCP4 192.0.2.1 198.51.100.2 4321 8080\r\n";
};

TEST_F(AcceptedHeaderTest, ItsSourceIsTheConnectionsAndTheHandshakeFollows) {
  View(InboundView());
  CallIn();
  EXPECT_EQ(Only().state, "reading_header");
  ASSERT_TRUE(Write(caller_.get(), kHeader));
  auto caller = CallTls(web_);
  ASSERT_TRUE(TurnUntil([&] {
    caller->Open();
    return !dialer_.dialled.empty();
  }));
  EXPECT_EQ(Only().source, "192.0.2.1:4321");
  EXPECT_EQ(Only().peer_id, kWebId);
}

TEST_F(AcceptedHeaderTest, ItIsPassedOnToAServerThatIsTold) {
  inbound_.server_headers = {{{}, ProxyProtocol::kV1}};
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), std::string(kHeader) + "GET /"));
  ASSERT_TRUE(Dialled());
  StreamReader reader(workload());
  EXPECT_TRUE(TurnUntil([&] {
    reader.Drain();
    return reader.bytes() == std::string(kHeader) + "GET /";
  })) << reader.bytes();
}

TEST_F(AcceptedHeaderTest, OneThatSaysNothingLeavesTheConnectionsOwnAddresses) {
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "PROXY UNKNOWN\r\nGET /"));
  ASSERT_TRUE(Dialled());
  EXPECT_EQ(Only().source, "10.0.0.1:40000");
}

TEST_F(AcceptedHeaderTest, WithoutOneACallerIsRefused) {
  View(InboundView(kWebId, true));
  CallIn();
  ASSERT_TRUE(Write(caller_.get(), "GET / HTTP/1.1\r\n"));
  ASSERT_TRUE(TurnUntil([&] { return table_.size() == 0; }));
  EXPECT_EQ(Closed(CloseReason::kProxyHeaderInvalid), 1u);
  EXPECT_TRUE(dialer_.dialled.empty());
}

TEST_F(AcceptedHeaderTest, AnyoneElseIsRefusedWithHeaderOrWithout) {
  inbound_.accepted_header.from = {AddressBlock::Parse("10.9.0.0/16").value()};
  View(InboundView(kWebId, true));
  auto arrival = Arrive(inbound_);
  ASSERT_TRUE(Write(caller_.get(), kHeader));
  InboundConnection::Start(&context_, std::move(arrival));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Closed(CloseReason::kProxyHeaderUntrusted), 1u);
}

TEST_F(AcceptedHeaderTest, ItHasItsOwnTimeAndTheHandshakeAfterItTheWholeOfIts) {
  View(InboundView());
  CallIn();
  EXPECT_EQ(TimeUntilClosed(), absl::Seconds(3));
  EXPECT_EQ(Closed(CloseReason::kProxyHeaderTimeout), 1u);
  CallIn();
  clock_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Write(caller_.get(), kHeader));
  ASSERT_TRUE(TurnUntil([&] { return Only().state == "sniffing"; }));
  EXPECT_EQ(TimeUntilClosed(), context_.limits.handshake_timeout);
  EXPECT_EQ(Closed(CloseReason::kHandshakeTimeout), 1u);
}

}  // namespace
}  // namespace lanyard
