#include "proxy/worker.h"

#include <fcntl.h>
#include <openssl/nid.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>

#include "identity/tls/tls_context.h"
#include "proxy/worker_test_peers.h"

namespace lanyard {
namespace {

constexpr char kWeb[] = "spiffe://example.org/web";
constexpr char kApi[] = "spiffe://example.org/api";

std::vector<PeerPattern> Peers(const std::vector<std::string>& texts) {
  std::vector<PeerPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(PeerPattern::Parse(text).value());
  return patterns;
}

uint64_t CountOf(const std::vector<std::pair<std::string, uint64_t>>& counts, const std::string& name) {
  for (const auto& [key, count] : counts) {
    if (key == name) return count;
  }
  return 0;
}

// caller -> outbound worker ("web") -> mutual TLS -> inbound worker ("api") -> server
class WorkerPair : public testing::Test {
 protected:
  void TearDown() override {
    outbound_.reset();
    inbound_.reset();
    server_.reset();
  }

  std::shared_ptr<const TlsContext> Identity(const FakeLeaf& leaf, const BundleSet& bundles) {
    TlsContext::Options options;
    options.alpn = {kMeshAlpn};
    return TlsContext::Create(leaf.Svid(), bundles, cache_, SystemClock(), options).value();
  }
  std::shared_ptr<const TlsContext> Identity(const std::string& id) {
    return Identity(intermediate_.Leaf(id), root_.Bundles());
  }

  std::unique_ptr<Worker> Make(ListenerKind kind, const std::string& destination, ConnectionLimits limits = {}) {
    ListenerSpec spec{kind == ListenerKind::kInboundStatic ? "in" : "out", kind,
                      SocketAddress::Parse("127.0.0.1:0").value(), destination};
    Worker::Options options;
    options.listeners = {spec};
    options.limits = limits;
    options.clock = &SystemClock();
    return Worker::Create(std::move(options)).value();
  }

  // Publishes and waits until it is in force.
  void Publish(Worker& worker, MeshView view) {
    view.version = ++version_;
    worker.Publish(std::make_shared<const MeshView>(std::move(view)));
  }
  void PublishAndWait(Worker& worker, MeshView view) {
    Publish(worker, std::move(view));
    ASSERT_TRUE(Eventually([&] { return worker.acknowledged_version() == version_; }));
  }
  MeshView InboundView(const std::vector<std::string>& peers, bool plaintext = false) {
    MeshView view;
    view.tls = api_;
    PolicyRule rule{.name = "callers", .ports = {}, .peers = Peers(peers), .allow_plaintext = plaintext};
    view.listener_policies = {InboundPolicy::Create({rule}).value()};
    return view;
  }
  MeshView OutboundView(const std::vector<std::string>& peers, RouteAction action = RouteAction::kMutualTls) {
    MeshView view;
    view.tls = web_;
    view.listener_routes = {Route{"to-api", {}, {}, action, Peers(peers)}};
    return view;
  }

  void Serve(Server::Handler handler) { server_ = std::make_unique<Server>(std::move(handler)); }
  void StartInbound(MeshView view, ConnectionLimits limits = {}) {
    if (server_ == nullptr) Serve(Server::Echo);
    inbound_ = Make(ListenerKind::kInboundStatic, server_->address().ToString(), limits);
    Publish(*inbound_, std::move(view));
    inbound_->Start();
  }
  void StartOutbound(MeshView view, ConnectionLimits limits = {}) {
    outbound_ = Make(ListenerKind::kOutboundStatic, inbound_->BoundAddresses()[0].ToString(), limits);
    Publish(*outbound_, std::move(view));
    outbound_->Start();
  }
  void StartBoth() {
    StartInbound(InboundView({kWeb}));
    StartOutbound(OutboundView({kApi}));
  }
  Caller Call() { return Caller(outbound_->BoundAddresses()[0]); }
  SocketAddress InboundAddress() { return inbound_->BoundAddresses()[0]; }

  bool InboundCloses(const std::string& reason, uint64_t count = 1) {
    return Eventually([&] { return CountOf(inbound_->Counters().closes_inbound, reason) >= count; });
  }
  bool OutboundCloses(const std::string& reason, uint64_t count = 1) {
    return Eventually([&] { return CountOf(outbound_->Counters().closes_outbound, reason) >= count; });
  }

  FakeCa root_ = FakeCa::Root("example.org");
  FakeCa intermediate_ = root_.Intermediate();
  std::shared_ptr<VerifyCache> cache_ = std::make_shared<VerifyCache>();
  std::shared_ptr<const TlsContext> web_ = Identity(kWeb);
  std::shared_ptr<const TlsContext> api_ = Identity(kApi);
  std::unique_ptr<Server> server_;
  std::unique_ptr<Worker> inbound_, outbound_;
  uint64_t version_ = 0;
};

TEST_F(WorkerPair, CarriesARequestOverMutualTls) {
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("hello"));
  EXPECT_EQ(caller.Read(5), "hello");

  std::promise<std::vector<ConnectionRecord>> listed;
  inbound_->ListConnections([&](std::vector<ConnectionRecord> records) { listed.set_value(std::move(records)); });
  const std::vector<ConnectionRecord> records = listed.get_future().get();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].peer_id, kWeb);
  EXPECT_EQ(records[0].local_id, kApi);
  EXPECT_EQ(records[0].peer_serial, web_->svid()->leaf().serial());
  EXPECT_EQ(records[0].tls, "TLSv1.3");
  EXPECT_EQ(records[0].rule, "callers");
  EXPECT_EQ(records[0].state, "relaying");
  EXPECT_EQ(records[0].bytes_sent, 5u);

  caller.Finish();
  EXPECT_EQ(caller.HowItEnds(), "end");
  EXPECT_TRUE(InboundCloses("normal"));
  EXPECT_TRUE(OutboundCloses("normal"));
  const WorkerCounters counters = outbound_->Counters();
  EXPECT_EQ(counters.accepted_outbound, 1u);
  EXPECT_EQ(counters.open_outbound, 0u);
  EXPECT_EQ(counters.handshakes_full, 1u);
  EXPECT_EQ(counters.handshakes_in_flight, 0u);
  EXPECT_EQ(counters.bytes_to_mesh, 5u);
  EXPECT_EQ(counters.bytes_from_mesh, 5u);
}

TEST_F(WorkerPair, ResumesTheSecondConnectionAndVerifiesItAgain) {
  StartBoth();
  for (int i = 0; i < 3; ++i) {
    Caller caller = Call();
    ASSERT_TRUE(caller.Send("hello"));
    EXPECT_EQ(caller.Read(5), "hello");
    caller.Finish();
    EXPECT_EQ(caller.HowItEnds(), "end");
    ASSERT_TRUE(InboundCloses("normal", i + 1));
  }
  EXPECT_EQ(outbound_->Counters().handshakes_resumed, 2u);
  PublishAndWait(*inbound_, InboundView({"spiffe://example.org/other"}));
  Caller caller = Call();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("denied_by_policy"));
}

TEST_F(WorkerPair, TenMegabytesBothWaysAtOnce) {
  StartBoth();
  std::string text(10 << 20, '\0');
  uint32_t state = 1;
  for (char& byte : text) byte = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  Caller caller = Call();
  std::thread sender([&] {
    EXPECT_TRUE(caller.Send(text));
    caller.Finish();
  });
  const auto [got, how] = caller.ReadAll();
  sender.join();
  EXPECT_EQ(how, "end");
  EXPECT_TRUE(got == text);
  EXPECT_TRUE(OutboundCloses("normal"));
  EXPECT_EQ(inbound_->Counters().bytes_from_mesh, text.size());
}

TEST_F(WorkerPair, HalfClosesEachWay) {
  Serve([](Caller& caller) {
    const auto [request, how] = caller.ReadAll();  // answers only once the request has ended
    caller.Send(how + ":" + request);
  });
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("question"));
  caller.Finish();
  EXPECT_EQ(caller.ReadAll(), (std::pair<std::string, std::string>{"end:question", "end"}));
}

TEST_F(WorkerPair, TheServerMayFinishFirst) {
  std::promise<std::string> got;
  Serve([&](Caller& caller) {
    caller.Send("bye");
    caller.Finish();
    got.set_value(caller.ReadAll().first);
  });
  StartBoth();
  Caller caller = Call();
  EXPECT_EQ(caller.ReadAll(), (std::pair<std::string, std::string>{"bye", "end"}));
  ASSERT_TRUE(caller.Send("still here"));
  caller.Finish();
  EXPECT_EQ(got.get_future().get(), "still here");
}

TEST_F(WorkerPair, AServerThatSpeaksFirstDoesNotStall) {
  Serve([](Caller& caller) {
    caller.Send("220 ready\r\n");
    Server::Echo(caller);
  });
  StartBoth();
  Caller caller = Call();
  EXPECT_EQ(caller.Read(11), "220 ready\r\n");
}

TEST_F(WorkerPair, ASlowReaderStopsTheSenderWithinBoundedBuffers) {
  std::atomic<bool> read_on{false};
  std::promise<size_t> got;
  Serve([&](Caller& caller) {
    EXPECT_TRUE(Eventually([&] { return read_on.load(); }));
    got.set_value(caller.ReadAll().first.size());
  });
  StartBoth();
  Caller caller = Call();
  ASSERT_EQ(fcntl(caller.fd(), F_SETFL, O_NONBLOCK), 0);
  const std::string block(1 << 20, 'x');
  size_t sent = 0;
  int refusals = 0;
  const bool stopped = Eventually([&] {
    const ssize_t count = send(caller.fd(), block.data(), block.size(), MSG_NOSIGNAL);
    if (count > 0) sent += static_cast<size_t>(count), refusals = 0;
    return count < 0 && ++refusals > 100;  // 200 ms without room
  });
  EXPECT_TRUE(stopped);
  EXPECT_LT(sent, size_t{64} << 20) << "what sockets and one buffer a hop hold, not more";
  read_on = true;
  ASSERT_EQ(fcntl(caller.fd(), F_SETFL, 0), 0);
  caller.Finish();
  EXPECT_EQ(got.get_future().get(), sent);
}

TEST_F(WorkerPair, ACallersResetReachesTheServer) {
  std::promise<std::string> how;
  Serve([&](Caller& caller) {
    caller.Read(5);
    how.set_value(caller.HowItEnds());
  });
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("hello"));
  ASSERT_TRUE(Eventually([&] { return server_->accepted() == 1; }));
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().bytes_from_mesh == 5; }));
  caller.Reset();
  EXPECT_EQ(how.get_future().get(), "reset");
  EXPECT_TRUE(OutboundCloses("app_reset"));
  EXPECT_TRUE(InboundCloses("peer_reset"));
}

TEST_F(WorkerPair, AServersResetReachesTheCaller) {
  Serve([](Caller& caller) {
    caller.Read(5);
    caller.Reset();
  });
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("hello"));
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("app_reset"));
  EXPECT_TRUE(OutboundCloses("peer_reset"));
}

TEST_F(WorkerPair, AServerThatIsNotThereIsAResetAndItsOwnReason) {
  { Serve(Server::Echo); }
  const std::string gone = server_->address().ToString();
  server_.reset();
  inbound_ = Make(ListenerKind::kInboundStatic, gone);
  Publish(*inbound_, InboundView({kWeb}));
  inbound_->Start();
  StartOutbound(OutboundView({kApi}));
  Caller caller = Call();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("connect_refused"));
}

TEST_F(WorkerPair, AServerWithAnotherIdIsRefusedBeforeAnyByte) {
  StartInbound(InboundView({kWeb}));
  StartOutbound(OutboundView({"spiffe://example.org/other"}));
  Caller caller = Call();
  caller.Send("secret");
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("peer_not_expected"));
  EXPECT_EQ(outbound_->Counters().bytes_to_mesh, 0u);
  EXPECT_EQ(server_->accepted(), 0);
}

TEST_F(WorkerPair, ACallerThatNoRuleAllowsIsDenied) {
  StartInbound(InboundView({"spiffe://example.org/other"}));
  StartOutbound(OutboundView({kApi}));
  Caller caller = Call();
  caller.Send("secret");
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("denied_by_policy"));
  EXPECT_EQ(server_->accepted(), 0) << "the workload is not dialled before it is allowed";
}

TEST_F(WorkerPair, ARefusedRouteIsAReset) {
  StartInbound(InboundView({kWeb}));
  StartOutbound(OutboundView({}, RouteAction::kRefuse));
  Caller caller = Call();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("route_refused"));
}

TEST_F(WorkerPair, PassThroughIsNotTls) {
  StartInbound(InboundView({}, true));
  StartOutbound(OutboundView({}, RouteAction::kPassThrough));
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("plain"));
  EXPECT_EQ(caller.Read(5), "plain");
  EXPECT_EQ(outbound_->Counters().handshakes_full, 0u);
}

TEST_F(WorkerPair, CallersWithoutAGoodSvidAreTurnedAwayEachForItsReason) {
  StartInbound(InboundView({"spiffe://example.org/*"}));
  const absl::Time now = absl::Now();
  const FakeLeaf good = intermediate_.Leaf(kWeb);
  const FakeLeaf expired =
      intermediate_.Leaf(kWeb, {.not_before = now - absl::Hours(2), .not_after = now - absl::Minutes(1)});
  const FakeLeaf foreign = FakeCa::Root("foreign.example").Leaf("spiffe://foreign.example/web");
  const FakeLeaf impostor = FakeCa::Root("example.org").Leaf(kWeb);
  const FakeLeaf two = intermediate_.Leaf(kWeb, {.mutate = [](X509* x) { SetUris(x, {kWeb, kApi}); }});
  const FakeLeaf ca = intermediate_.Leaf(
      kWeb, {.mutate = [](X509* x) { SetExtension(x, NID_basic_constraints, "critical,CA:TRUE"); }});
  const struct {
    const FakeLeaf* leaf;
    const char* reason;
  } cases[] = {{nullptr, "no_peer_certificate"}, {&expired, "svid_expired"},
               {&foreign, "unknown_trust_domain"}, {&impostor, "untrusted"},
               {&two, "several_uri_names"}, {&ca, "ca_as_leaf"}};
  for (const auto& each : cases) {
    ForeignTlsClient client(InboundAddress(), each.leaf);
    EXPECT_EQ(client.Ask("hello"), "") << each.reason;
    EXPECT_TRUE(InboundCloses(each.reason)) << each.reason;
  }
  EXPECT_EQ(server_->accepted(), 0);
  ForeignTlsClient client(InboundAddress(), &good);
  EXPECT_EQ(client.Ask("hello"), "hello") << "any TLS client with a good SVID is welcome";
}

TEST_F(WorkerPair, AnEndWithoutCloseNotifyIsAResetForTheServer) {
  std::promise<std::string> how;
  Serve([&](Caller& caller) { how.set_value(caller.HowItEnds()); });
  StartInbound(InboundView({kWeb}));
  const FakeLeaf leaf = intermediate_.Leaf(kWeb);
  ForeignTlsClient client(InboundAddress(), &leaf);
  SSL_write(client.ssl(), "half", 4);
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().bytes_from_mesh == 4; }));
  client.caller().Finish();
  EXPECT_EQ(how.get_future().get(), "reset");
  EXPECT_TRUE(InboundCloses("tls_truncated"));
}

TEST_F(WorkerPair, PlaintextToAStrictPortIsRefused) {
  StartInbound(InboundView({kWeb}));
  Caller caller(InboundAddress());
  ASSERT_TRUE(caller.Send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(caller.ReadAll(), (std::pair<std::string, std::string>{"", "reset"}));
  EXPECT_TRUE(InboundCloses("plaintext_refused"));
  EXPECT_EQ(server_->accepted(), 0);
}

TEST_F(WorkerPair, ASilentCallerOfAStrictPortTimesOut) {
  ConnectionLimits limits;
  limits.handshake_timeout = absl::Milliseconds(50);
  StartInbound(InboundView({kWeb}), limits);
  Caller caller(InboundAddress());
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("handshake_timeout"));
}

TEST_F(WorkerPair, APermissivePortTakesPlaintextAndTls) {
  StartInbound(InboundView({kWeb}, true));
  StartOutbound(OutboundView({kApi}));
  Caller plain(InboundAddress());
  ASSERT_TRUE(plain.Send("plain"));
  EXPECT_EQ(plain.Read(5), "plain");
  Caller meshed = Call();
  ASSERT_TRUE(meshed.Send("meshed"));
  EXPECT_EQ(meshed.Read(6), "meshed");
  EXPECT_EQ(inbound_->Counters().handshakes_full, 1u);
}

TEST_F(WorkerPair, OnAPermissivePortASilentCallerMeetsAServerThatSpeaksFirst) {
  Serve([](Caller& caller) { caller.Send("220 ready\r\n"); });
  StartInbound(InboundView({kWeb}, true));
  Caller caller(InboundAddress());
  EXPECT_EQ(caller.Read(11), "220 ready\r\n");
}

TEST_F(WorkerPair, AChangedPolicyClosesExactlyWhatItNoLongerAllows) {
  StartInbound(InboundView({kWeb, "spiffe://example.org/other"}));
  StartOutbound(OutboundView({kApi}));
  Caller web = Call();
  ASSERT_TRUE(web.Send("a"));
  EXPECT_EQ(web.Read(1), "a");
  const FakeLeaf other_leaf = intermediate_.Leaf("spiffe://example.org/other");
  ForeignTlsClient other(InboundAddress(), &other_leaf);
  EXPECT_EQ(other.Ask("b"), "b");
  PublishAndWait(*inbound_, InboundView({"spiffe://example.org/other"}));
  EXPECT_EQ(web.HowItEnds(), "reset");
  EXPECT_TRUE(InboundCloses("policy_changed"));
  EXPECT_EQ(other.Ask("c"), "c") << "still allowed, untouched";
}

TEST_F(WorkerPair, AChangedRouteClosesWhatItNoLongerExpects) {
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("a"));
  EXPECT_EQ(caller.Read(1), "a");
  PublishAndWait(*outbound_, OutboundView({"spiffe://example.org/other"}));
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(OutboundCloses("policy_changed"));
}

TEST_F(WorkerPair, AWithdrawnBundleClosesThoseItVouchedFor) {
  const FakeCa partner = FakeCa::Root("partner.example");
  BundleSet both = root_.Bundles();
  both.Set(partner.Bundle());
  MeshView view = InboundView({kWeb, "spiffe://partner.example/*"});
  view.tls = api_ = Identity(intermediate_.Leaf(kApi), both);
  StartInbound(view);
  StartOutbound(OutboundView({kApi}));
  Caller web = Call();
  ASSERT_TRUE(web.Send("a"));
  EXPECT_EQ(web.Read(1), "a");
  const FakeLeaf partner_leaf = partner.Leaf("spiffe://partner.example/caller");
  ForeignTlsClient other(InboundAddress(), &partner_leaf);
  EXPECT_EQ(other.Ask("b"), "b");
  view.tls = Identity(intermediate_.Leaf(kApi), root_.Bundles());
  PublishAndWait(*inbound_, view);
  EXPECT_EQ(other.Ask("c"), "");
  EXPECT_TRUE(InboundCloses("bundle_changed"));
  ASSERT_TRUE(web.Send("d"));
  EXPECT_EQ(web.Read(1), "d");
}

TEST_F(WorkerPair, RotationLeavesRunningStreamsAlone) {
  StartBoth();
  Caller caller = Call();
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(caller.Send("x"));
    ASSERT_EQ(caller.Read(1), "x");
    web_ = Identity(kWeb);
    api_ = Identity(kApi);
    PublishAndWait(*outbound_, OutboundView({kApi}));
    PublishAndWait(*inbound_, InboundView({kWeb}));
    Caller fresh = Call();
    ASSERT_TRUE(fresh.Send("y"));
    ASSERT_EQ(fresh.Read(1), "y");
  }
  EXPECT_EQ(inbound_->Counters().accepted_inbound, 6u);
}

TEST_F(WorkerPair, AnExpiredSvidIsKeptAndCountedOrClosed) {
  const FakeLeaf brief = intermediate_.Leaf(kWeb, {.not_after = absl::Now() + absl::Seconds(2)});
  StartInbound(InboundView({kWeb}));
  ForeignTlsClient client(InboundAddress(), &brief);
  EXPECT_EQ(client.Ask("a"), "a");
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().svid_expired_kept == 1; }));
  EXPECT_EQ(client.Ask("b"), "b");
  MeshView view = InboundView({kWeb});
  view.on_svid_expiry = OnSvidExpiry::kClose;
  PublishAndWait(*inbound_, view);
  EXPECT_TRUE(InboundCloses("svid_expired_while_open"));
  EXPECT_EQ(client.Ask("c"), "");
}

TEST_F(WorkerPair, DrainLetsConnectionsFinishAndStopCutsThem) {
  StartBoth();
  Caller first = Call(), second = Call();
  for (Caller* caller : {&first, &second}) {
    ASSERT_TRUE(caller->Send("x"));
    ASSERT_EQ(caller->Read(1), "x");
  }
  std::atomic<bool> idle{false};
  outbound_->Drain([&] { idle = true; });
  ASSERT_TRUE(Eventually([&] {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
    const SocketAddress address = outbound_->BoundAddresses()[0];
    return connect(fd.get(), address.raw(), address.raw_size()) != 0;
  })) << "new callers are refused";
  ASSERT_TRUE(first.Send("y"));
  EXPECT_EQ(first.Read(1), "y") << "open ones go on";
  first.Finish();
  EXPECT_EQ(first.HowItEnds(), "end");
  EXPECT_FALSE(idle.load());
  second.Finish();
  EXPECT_EQ(second.HowItEnds(), "end");
  EXPECT_TRUE(Eventually([&] { return idle.load(); }));
}

TEST_F(WorkerPair, StopResetsWhatIsOpen) {
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("x"));
  ASSERT_EQ(caller.Read(1), "x");
  outbound_->Stop();
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_EQ(CountOf(outbound_->Counters().closes_outbound, "drain_deadline"), 1u);
  bool answered = false;
  outbound_->ListConnections([&](std::vector<ConnectionRecord> records) { answered = records.empty(); });
  EXPECT_TRUE(answered);
}

TEST_F(WorkerPair, AtTheLimitOfConnectionsCallersAreTurnedAway) {
  StartInbound(InboundView({kWeb}));
  ConnectionLimits limits;
  limits.max_connections = 1;
  StartOutbound(OutboundView({kApi}), limits);
  Caller first = Call();
  ASSERT_TRUE(first.Send("x"));
  ASSERT_EQ(first.Read(1), "x");
  Caller second = Call();
  EXPECT_EQ(second.HowItEnds(), "reset");
  EXPECT_EQ(outbound_->Counters().limit_connections, 1u);
}

TEST_F(WorkerPair, WithoutDescriptorsItWaitsAndGoesOn) {
  StartBoth();
  Caller before = Call();
  ASSERT_TRUE(before.Send("x"));
  ASSERT_EQ(before.Read(1), "x");
  UniqueFd next(socket(AF_INET, SOCK_STREAM, 0));  // made while that is still possible
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit tight = {static_cast<rlim_t>(next.get() + 1), limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  const SocketAddress address = outbound_->BoundAddresses()[0];
  ASSERT_EQ(connect(next.get(), address.raw(), address.raw_size()), 0);
  EXPECT_TRUE(Eventually([&] { return outbound_->Counters().accept_paused >= 2; }));
  ASSERT_TRUE(before.Send("y"));
  EXPECT_EQ(before.Read(1), "y") << "open connections do not notice";
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  Caller waiting(std::move(next));
  ASSERT_TRUE(waiting.Send("z"));
  EXPECT_EQ(waiting.Read(1), "z");
}

TEST_F(WorkerPair, ANameIsResolvedAtEachDial) {
  StartInbound(InboundView({kWeb}));
  outbound_ = Make(ListenerKind::kOutboundStatic, "localhost:" + std::to_string(InboundAddress().port()));
  Publish(*outbound_, OutboundView({kApi}));
  outbound_->Start();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("x"));
  EXPECT_EQ(caller.Read(1), "x");
}

TEST(Worker, ABusyPortIsAnErrorThatNamesTheListener) {
  UniqueFd other(socket(AF_INET, SOCK_STREAM, 0));
  const SocketAddress any = SocketAddress::Parse("127.0.0.1:0").value();
  ASSERT_EQ(bind(other.get(), any.raw(), any.raw_size()), 0);
  ASSERT_EQ(listen(other.get(), 1), 0);
  Worker::Options options;
  options.clock = &SystemClock();
  options.listeners = {{"web", ListenerKind::kInboundStatic, LocalAddress(other.get()).value(), "127.0.0.1:1"}};
  const auto worker = Worker::Create(std::move(options));
  ASSERT_FALSE(worker.ok());
  EXPECT_NE(std::string(worker.status().message()).find("\"web\""), std::string::npos);
}

TEST(Worker, DialledDirectlyTheCapturePortRefusesALoop) {
  Worker::Options options;
  options.clock = &SystemClock();
  options.listeners = {
      {"capture-outbound", ListenerKind::kOutboundCapture, SocketAddress::Parse("127.0.0.1:0").value(), ""}};
  auto worker = Worker::Create(std::move(options)).value();
  const FakeCa root = FakeCa::Root("example.org");
  auto view = std::make_shared<MeshView>();
  view->version = 1;
  view->tls = TlsContext::Create(root.Leaf(kWeb).Svid(), root.Bundles(), std::make_shared<VerifyCache>(), SystemClock(),
                                 TlsContext::Options{})
                  .value();
  view->routes = RouteTable({}, Route{"default", {}, {}, RouteAction::kPassThrough, {}});
  worker->Publish(view);
  worker->Start();
  Caller caller(worker->BoundAddresses()[0]);
  EXPECT_EQ(caller.HowItEnds(), "reset");
  EXPECT_TRUE(Eventually([&] { return CountOf(worker->Counters().closes_outbound, "loop_detected") == 1; }));
}

}  // namespace
}  // namespace lanyard
