// A worker's connections in virtual time, over fake streams: no socket, no thread.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"
#include "identity/spiffe/fake_ca.h"
#include "proxy/connection/accepted_links.h"
#include "proxy/connection/connection.h"
#include "proxy/connection/fake_dialer.h"
#include "proxy/connection/handshake_turns.h"
#include "proxy/connection/inbound.h"
#include "proxy/connection/link_pool.h"
#include "proxy/connection/outbound.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/stream_contract_testing.h"

namespace lanyard {

inline constexpr char kWebId[] = "spiffe://example.org/web";
inline constexpr char kApiId[] = "spiffe://example.org/api";

// Identities are dear to mint: made once a process.
struct TestIdentities {
  FakeCa root = FakeCa::Root("example.org");
  FakeLeaf web = root.Leaf(kWebId);
  FakeLeaf api = root.Leaf(kApiId);
  static const TestIdentities& Get() {
    static const TestIdentities* const identities = new TestIdentities;
    return *identities;
  }
};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() {
    context_.pool = &pool_;
    context_.table = &table_;
    context_.counters = &counters_;
    context_.close_log = &close_log_;
    context_.limits_reached = &limits_reached_;
    context_.buffer_budget = &buffer_budget_;
    context_.places = &places_;
    context_.access_log = &access_log_;
    context_.tap = &tap_;
    context_.observed = &observed_;
    context_.dialer = &dialer_;
    context_.own_sockets = &own_sockets_;
    context_.resolver = &resolver_;
    context_.sessions = &sessions_;
    context_.links = &links_;
    context_.accepted_links = &accepted_links_;
    context_.handshakes = &handshakes_;
    context_.random = &random_;
  }
  ~ConnectionTest() override {
    table_.CloseAll();
    loop_->RunOnce(absl::ZeroDuration());
  }

  std::shared_ptr<const TlsContext> Context(const FakeLeaf& leaf, const BundleSet& bundles) {
    TlsContext::Options options;
    if (speaks_mesh_) options.alpn = {kMeshAlpn};
    return TlsContext::Create(leaf.Svid(), bundles, std::make_shared<VerifyCache>(), clock_, options).value();
  }
  static WorkerContext ContextOf(EventLoop* loop) {
    WorkerContext context;
    context.loop = loop;
    return context;
  }
  void View(std::shared_ptr<MeshView> view) {
    view->version = ++version_;
    const ViewChange change = CompareViews(context_.view.get(), *view);
    context_.view = std::move(view);
    links_.OnViewChange(change);
    accepted_links_.OnViewChange(change);
    table_.Recheck(change, [] {});
  }
  // What a worker of "web" knows: to call `peers`.
  std::shared_ptr<MeshView> OutboundView(RouteAction action, const std::vector<std::string>& peers = {kApiId}) {
    auto view = std::make_shared<MeshView>();
    view->tls = web_;
    Route route{.name = "to-api", .destinations = {}, .ports = {}, .action = action, .peers = {}};
    for (const std::string& peer : peers) route.peers.push_back(PeerPattern::Parse(peer).value());
    view->routes = RouteTable({}, route);
    return view;
  }
  // What a worker of "api" knows: who may call it.
  std::shared_ptr<MeshView> InboundView(const std::string& peer = kWebId, bool plaintext = false) {
    auto view = std::make_shared<MeshView>();
    view->tls = api_;
    view->inbound = InboundPolicy::Create({PolicyRule{.name = "callers",
                                                      .ports = {},
                                                      .peers = {PeerPattern::Parse(peer).value()},
                                                      .allow_plaintext = plaintext}})
                        .value();
    return view;
  }

  Arrival Arrive(const ListenerSpec& spec, FakeStream::Faults faults = {}) {
    auto [caller, accepted] = FakeStream::Pair(loop_.get());
    accepted->faults() = faults;
    caller_ = std::move(caller);
    return Arrival{.stream = std::move(accepted),
                   .listener = 0,
                   .spec = &spec,
                   .fixed = nullptr,
                   .source = SocketAddress::Parse("10.0.0.1:40000").value(),
                   .dialled = SocketAddress::Parse("10.0.0.2:8080").value(),
                   .loop = loop_detail_,
                   .misdirected = misdirected_};
  }
  void CallOut() { OutboundConnection::Start(&context_, Arrive(outbound_)); }
  void CallIn() { InboundConnection::Start(&context_, Arrive(inbound_)); }

  // The mesh peer at the far end of an outbound call, and at the near end of an inbound one.
  std::unique_ptr<TlsStream> AnswerTls(const std::shared_ptr<const TlsContext>& context) {
    return std::make_unique<TlsStream>(std::move(dialer_.answerers.back()), context->NewServer(), &pool_);
  }
  std::unique_ptr<TlsStream> CallTls(const std::shared_ptr<const TlsContext>& context) {
    return std::make_unique<TlsStream>(std::move(caller_), context->NewClient(), &pool_);
  }

  bool TurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 5000; ++turn) {
      if (done()) return true;
      loop_->RunOnce(absl::ZeroDuration());
    }
    return false;
  }
  // Lets virtual time pass until every connection is closed; how long that took.
  absl::Duration TimeUntilClosed() {
    const absl::Duration start = clock_.Monotonic();
    for (int turn = 0; turn < 5000 && table_.size() > 0; ++turn) loop_->RunOnce(absl::InfiniteDuration());
    EXPECT_EQ(table_.size(), 0u);
    return clock_.Monotonic() - start;
  }
  uint64_t Closes(Flow flow, CloseReason reason) const {
    return counters_.closes[static_cast<size_t>(flow)][static_cast<size_t>(reason)].value();
  }
  uint64_t TimesReached(Limit limit) const { return counters_.limits_reached[static_cast<size_t>(limit)].value(); }
  ConnectionRecord Only() const {
    const std::vector<ConnectionRecord> records = table_.List();
    EXPECT_EQ(records.size(), 1u);
    return records.empty() ? ConnectionRecord() : records.front();
  }
  static bool Write(Stream* stream, const std::string& text) { return StreamWriter(stream, text).Push(); }

  bool speaks_mesh_ = false;  // the contexts made from now on; the first ones are plain mutual TLS
  FakeClock clock_{absl::Now()};
  FakePoller* poller_ = new FakePoller(&clock_);  // the loop's
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::unique_ptr<Poller>(poller_), &clock_).value();
  BufferPool pool_{80 << 10};
  ConnectionTable table_{loop_.get()};
  ConnectionCounters counters_;
  CloseLog close_log_{loop_.get()};
  LimitsReached limits_reached_{loop_.get(), &counters_};
  BufferBudget buffer_budget_{&pool_, 64 << 20, 64, [] {}};
  InboundPlaces places_{0, 0};
  AccessLog access_log_;
  ConnectionTap tap_;
  ObservedCalls observed_;
  FakeDialer dialer_{loop_.get()};
  OwnSockets own_sockets_;
  Resolver resolver_{loop_.get()};
  ClientSessionCache sessions_;
  FakeRandom random_{1};
  HandshakeTurns handshakes_{loop_.get()};
  WorkerContext context_ = ContextOf(loop_.get());
  LinkPool links_{&context_};
  AcceptedLinks accepted_links_{&context_};
  ListenerSpec outbound_{"capture-outbound", ListenerKind::kOutboundCapture, SocketAddress::Parse(":15001").value(),
                         ""};
  ListenerSpec inbound_{"capture-inbound", ListenerKind::kInboundCapture, SocketAddress::Parse(":15006").value(), ""};
  std::shared_ptr<const TlsContext> web_ = Context(TestIdentities::Get().web, TestIdentities::Get().root.Bundles());
  std::shared_ptr<const TlsContext> api_ = Context(TestIdentities::Get().api, TestIdentities::Get().root.Bundles());
  std::unique_ptr<FakeStream> caller_;  // the other end of the newest arrival
  const char* loop_detail_ = nullptr;
  bool misdirected_ = false;
  uint64_t version_ = 0;
};

}  // namespace lanyard
