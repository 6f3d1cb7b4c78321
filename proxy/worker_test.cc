#include "proxy/worker.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <future>
#include <thread>

#include "proxy/worker_pair_testing.h"

namespace lanyard {
namespace {

TEST_F(WorkerPair, CarriesARequestOverMutualTls) {
  StartBoth();
  Caller caller = Call();
  ASSERT_TRUE(caller.Send("hello"));
  EXPECT_EQ(caller.Read(5), "hello");

  std::promise<std::vector<ConnectionRecord>> listed;
  inbound_->ListConnections([&](std::vector<ConnectionRecord> records) { listed.set_value(std::move(records)); });
  std::vector<ConnectionRecord> records = listed.get_future().get();
  // A link made ahead of need may be shaking hands beside it.
  std::erase_if(records, [](const ConnectionRecord& record) { return record.state != "relaying"; });
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].peer_id, kWeb);
  EXPECT_EQ(records[0].local_id, kApi);
  EXPECT_EQ(records[0].peer_serial, web_->svid()->leaf().serial());
  EXPECT_EQ(records[0].tls, "TLSv1.3");
  EXPECT_EQ(records[0].rule, "callers");
  EXPECT_EQ(records[0].bytes_sent, 5u);

  caller.Finish();
  EXPECT_EQ(caller.HowItEnds(), "end");
  EXPECT_TRUE(InboundCloses("normal"));
  EXPECT_TRUE(OutboundCloses("normal"));
  const WorkerCounters counters = outbound_->Counters();
  EXPECT_EQ(counters.accepted_outbound, 1u);
  EXPECT_EQ(counters.open_outbound, 0u);
  EXPECT_GE(counters.handshakes_full, 1u) << "one may be ahead of need";
  EXPECT_TRUE(Eventually([&] { return outbound_->Counters().handshakes_in_flight == 0; }));
  EXPECT_EQ(counters.bytes_to_mesh, 5u);
  EXPECT_EQ(counters.bytes_from_mesh, 5u);
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
  EXPECT_TRUE(InboundCloses("normal")) << "by then it has counted what it carried";
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
  EXPECT_EQ(CountOf(outbound_->Counters().limits_reached, "max_connections"), 1u);
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
