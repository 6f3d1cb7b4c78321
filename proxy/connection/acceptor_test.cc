#include "proxy/connection/acceptor.h"

#include "proxy/connection/connection_testing.h"
#include "proxy/io/epoll_poller.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

// Real sockets on a real loop; what is dialled is fake.
class AcceptorTest : public ConnectionTest {
 protected:
  AcceptorTest() {
    context_.loop = real_.get();
    context_.dialer = &fakes_;
  }
  ~AcceptorTest() override {
    table_.CloseAll();  // while the listeners' specs are there
    real_->RunOnce(absl::ZeroDuration());
  }
  SocketAddress Listen(const ListenerSpec& spec) {
    acceptor_ = Acceptor::Bind(&context_, {spec}).value();
    EXPECT_TRUE(acceptor_->Start().ok());
    return acceptor_->addresses()[0];
  }
  bool RealTurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 1000 && !done(); ++turn) real_->RunOnce(absl::Milliseconds(10));
    return done();
  }
  ListenerSpec Spec(ListenerKind kind, const std::string& destination) {
    return {"test", kind, SocketAddress::Parse("127.0.0.1:0").value(), destination};
  }
  std::unique_ptr<EventLoop> real_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  FakeDialer fakes_{real_.get()};
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, AStaticListenerDialsItsDestination) {
  auto view = OutboundView(RouteAction::kPassThrough);
  view->listener_routes = {Route{"all", {}, {}, RouteAction::kPassThrough, {}}};
  View(view);
  Dialled caller = Dial(Listen(Spec(ListenerKind::kOutboundStatic, "10.9.9.9:99")));
  ASSERT_TRUE(RealTurnUntil([&] { return fakes_.dialled.size() == 1; }));
  EXPECT_EQ(fakes_.dialled[0].ToString(), "10.9.9.9:99");
  EXPECT_EQ(Only().listener, "test");
  EXPECT_EQ(Only().destination, "10.9.9.9:99");
  EXPECT_EQ(Only().source, LocalAddress(caller.fd.get())->ToString());
}

TEST_F(AcceptorTest, ACapturePortDialledDirectlyIsALoop) {
  View(OutboundView(RouteAction::kPassThrough));
  Dialled caller = Dial(Listen(Spec(ListenerKind::kOutboundCapture, "")));
  EXPECT_TRUE(RealTurnUntil([&] { return Closes(Flow::kOutbound, CloseReason::kLoopDetected) == 1; }));
  EXPECT_TRUE(fakes_.dialled.empty());
}

TEST_F(AcceptorTest, ATransparentCapturePortDialledDirectlyIsALoopToo) {
  View(OutboundView(RouteAction::kPassThrough));
  ListenerSpec spec = Spec(ListenerKind::kOutboundCapture, "");
  spec.transparent = true;
  Dialled caller = Dial(Listen(spec));
  EXPECT_TRUE(RealTurnUntil([&] { return Closes(Flow::kOutbound, CloseReason::kLoopDetected) == 1; }));
  EXPECT_TRUE(fakes_.dialled.empty());
}

TEST(MisdirectedTest, LoopbackIsNobodysDestinationFromElsewhere) {
  const auto is = [](ListenerKind kind, absl::string_view source, absl::string_view dialled) {
    return IsMisdirected(kind, SocketAddress::Parse(source).value(), SocketAddress::Parse(dialled).value());
  };
  for (const char* dialled : {"127.0.0.1:80", "127.8.9.10:80", "[::1]:80", "0.0.0.0:80", "[::]:80"}) {
    for (const char* source : {"10.0.0.2:4000", "[fd00::2]:4000", "[fe80::2]:4000"}) {
      EXPECT_TRUE(is(ListenerKind::kInboundCapture, source, dialled)) << source << " " << dialled;
      EXPECT_FALSE(is(ListenerKind::kOutboundCapture, source, dialled)) << "an application of this machine";
      EXPECT_FALSE(is(ListenerKind::kInboundStatic, source, dialled)) << "the configuration says where it leads";
    }
    EXPECT_FALSE(is(ListenerKind::kInboundCapture, "127.0.0.1:4000", dialled));
    EXPECT_FALSE(is(ListenerKind::kInboundCapture, "[::1]:4000", dialled));
  }
  for (const char* dialled : {"10.0.0.1:80", "[fd00::1]:80", "[fe80::1]:80"}) {
    EXPECT_FALSE(is(ListenerKind::kInboundCapture, "10.0.0.2:4000", dialled)) << dialled;
  }
}

TEST_F(AcceptorTest, AtTheLimitCallersAreResetAndCounted) {
  context_.limits.max_connections = 0;
  View(OutboundView(RouteAction::kPassThrough));
  Dialled caller = Dial(Listen(Spec(ListenerKind::kOutboundStatic, "10.9.9.9:99")));
  EXPECT_TRUE(RealTurnUntil([&] { return TimesReached(Limit::kConnections) == 1; }));
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(AcceptorTest, ADestinationThatIsNoneIsAnError) {
  const auto acceptor = Acceptor::Bind(&context_, {Spec(ListenerKind::kOutboundStatic, "nowhere")});
  EXPECT_FALSE(acceptor.ok());
}

TEST_F(AcceptorTest, AcceptsFromEverySocketOfTheProcessBefore) {
  auto view = OutboundView(RouteAction::kPassThrough);
  view->listener_routes = {Route{"all", {}, {}, RouteAction::kPassThrough, {}}};
  View(view);
  ListenerSpec spec = Spec(ListenerKind::kOutboundStatic, "10.9.9.9:99");
  std::vector<UniqueFd> one_listener;
  std::vector<Dialled> waiting;
  for (int i = 0; i < 2; ++i) {
    one_listener.push_back(OpenListener(SocketAddress::Parse("127.0.0.1:0").value()).value());
    waiting.push_back(Dial(LocalAddress(one_listener.back().get()).value()));
  }
  Acceptor::Sockets sockets;
  sockets.push_back(std::move(one_listener));
  acceptor_ = Acceptor::Bind(&context_, {spec}, std::move(sockets)).value();
  EXPECT_EQ(acceptor_->sockets()[0].size(), 2u);
  EXPECT_TRUE(fakes_.dialled.empty());
  ASSERT_TRUE(acceptor_->Start().ok());
  EXPECT_TRUE(RealTurnUntil([&] { return fakes_.dialled.size() == 2; }));
}

TEST_F(AcceptorTest, ASocketOfTheProcessBeforeIsTransparentIfItIsToBe) {
  for (const bool was : {false, true}) {
    for (const bool is_to_be : {false, true}) {
      const SocketAddress address = SocketAddress::Parse("127.0.0.1:0").value();
      std::vector<UniqueFd> one_listener;
      one_listener.push_back(OpenListener(address).value());
      if (was) {
        ASSERT_TRUE(MakeTransparent(one_listener[0].get(), address).ok()) << "needs CAP_NET_RAW";
      }
      Acceptor::Sockets sockets;
      sockets.push_back(std::move(one_listener));
      ListenerSpec spec = Spec(ListenerKind::kOutboundCapture, "");
      spec.transparent = is_to_be;
      const auto acceptor = Acceptor::Bind(&context_, {spec}, std::move(sockets));
      const auto expected = was == is_to_be ? absl::StatusCode::kOk : absl::StatusCode::kFailedPrecondition;
      EXPECT_EQ(acceptor.status().code(), expected) << acceptor.status();
    }
  }
}

TEST_F(AcceptorTest, HowOftenACallHasPassedIsHandedOnAndEnds) {
  auto view = OutboundView(RouteAction::kPassThrough);
  view->listener_routes = {Route{"all", {}, {}, RouteAction::kPassThrough, {}}};
  View(view);
  const SocketAddress here = Listen(Spec(ListenerKind::kOutboundStatic, "10.9.9.9:99"));
  const auto call = [&](uint8_t hops) {
    Dialled caller = Dial(here);
    auto entry = own_sockets_.Enter(LocalAddress(caller.fd.get()).value(), here, hops);
    const size_t before = fakes_.dialled.size();
    const uint64_t loops = Closes(Flow::kOutbound, CloseReason::kLoopDetected);
    RealTurnUntil([&] {
      return fakes_.dialled.size() > before || Closes(Flow::kOutbound, CloseReason::kLoopDetected) > loops;
    });
    return fakes_.dialled.size() > before ? int{fakes_.last_hops} : -1;
  };
  EXPECT_EQ(call(1), 2);
  EXPECT_EQ(call(4), 5);
  EXPECT_EQ(call(5), -1);
}

TEST_F(AcceptorTest, AServerThatIsToldLearnsTheAddressThatWasDialled) {
  auto view = InboundView(kWebId, true);
  view->listener_policies = {view->inbound};
  View(view);
  ListenerSpec spec = Spec(ListenerKind::kInboundStatic, "10.9.9.9:99");
  spec.address = SocketAddress::Parse("0.0.0.0:0").value();
  spec.server_headers = {{{}, ProxyProtocol::kV1}};
  const std::string port = std::to_string(Listen(spec).port());
  Dialled caller = Dial(SocketAddress::Parse("127.0.0.2:" + port).value());
  const std::string source = LocalAddress(caller.fd.get())->HostString();
  // Permissive, and the caller is silent: plaintext after sniff_timeout.
  ASSERT_TRUE(RealTurnUntil([&] { return fakes_.dialled.size() == 1; }));
  StreamReader reader(fakes_.answerers[0].get());
  EXPECT_TRUE(RealTurnUntil([&] {
    reader.Drain();
    return reader.bytes().find("\r\n") != std::string::npos;
  }));
  EXPECT_EQ(reader.bytes().substr(0, 11 + source.size() + 10), "PROXY TCP4 " + source + " 127.0.0.2");
}

}  // namespace
}  // namespace lanyard
