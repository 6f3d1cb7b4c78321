// Two workers in virtual time that call each other by the mesh protocol: the fixture's own is "web", which calls "api".
//   caller -> web's connections -> links -> api's connections -> workload
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/connection/connection_testing.h"

namespace lanyard {

class MeshTest : public ConnectionTest, private Dialer {
 protected:
  MeshTest() {
    speaks_mesh_ = true;
    web_ = Fresh(kWebId);
    api_ = Fresh(kApiId);
    context_.dialer = this;
    server_ = context_;
    server_.table = &server_table_;
    server_.counters = &server_counters_;
    server_.limits_reached = &server_limits_reached_;
    server_.dialer = &dialer_;
    server_.links = &server_links_;
    server_.accepted_links = &server_accepted_;
  }
  ~MeshTest() override {
    reachable_ = false;  // a link that is being made ahead of need does not reach a server that is going
    callers_.clear();
    table_.CloseAll();
    loop_->RunOnce(absl::ZeroDuration());
    server_table_.CloseAll();
    loop_->RunOnce(absl::ZeroDuration());
  }

  // An identity with an SVID of its own, good for `lifetime` from now.
  std::shared_ptr<const TlsContext> Fresh(const std::string& id, absl::Duration lifetime = absl::Hours(1)) {
    return Context(TestIdentities::Get().root.Leaf(
                       id, {.not_before = clock_.Now() - absl::Minutes(1), .not_after = clock_.Now() + lifetime}),
                   TestIdentities::Get().root.Bundles());
  }
  void WebView(std::shared_ptr<MeshView> view) { View(std::move(view)); }
  void ApiView(std::shared_ptr<MeshView> view) {
    view->version = ++version_;
    const ViewChange change = CompareViews(server_.view.get(), *view);
    server_.view = std::move(view);
    server_links_.OnViewChange(change);
    server_accepted_.OnViewChange(change);
    server_table_.Recheck(change, [] {});
  }
  void BothViews() {
    WebView(OutboundView(RouteAction::kMutualTls));
    ApiView(InboundView());
  }

  // A call of an application through both, until its workload is reached; its number.
  size_t Call() {
    const size_t number = callers_.size();
    CallOut();
    callers_.push_back(std::move(caller_));
    EXPECT_TRUE(TurnUntil([&] { return dialer_.answerers.size() == number + 1; }));
    return number;
  }
  // What one end writes arrives whole at the other.
  bool Arrives(Stream* from, Stream* to, const std::string& text) {
    if (!Write(from, text)) return false;
    StreamReader reader(to);
    return TurnUntil([&] {
      reader.Drain();
      return reader.bytes() == text;
    });
  }
  bool Echoes(size_t number) {
    return Arrives(callers_[number].get(), dialer_.answerers[number].get(), "question") &&
           Arrives(dialer_.answerers[number].get(), callers_[number].get(), "answer");
  }
  // Both sides finish; the call is over on both.
  bool Finish(size_t number) {
    const Counter& closed = counters_.closes[static_cast<size_t>(Flow::kOutbound)][0];
    const Counter& served = server_counters_.closes[static_cast<size_t>(Flow::kInbound)][0];
    const uint64_t closed_before = closed.value(), served_before = served.value();
    callers_[number]->ShutdownWrite();
    dialer_.answerers[number]->ShutdownWrite();
    return TurnUntil([&] { return closed.value() > closed_before && served.value() > served_before; });
  }
  // Virtual time passes, with everything that is due in it.
  void Pass(absl::Duration time) {
    const absl::Duration end = clock_.Monotonic() + time;
    while (clock_.Monotonic() < end) {
      clock_.Advance(std::min(end - clock_.Monotonic(), absl::Milliseconds(50)));
      for (int turn = 0; turn < 20; ++turn) loop_->RunOnce(absl::ZeroDuration());
    }
  }
  // The only stream there; beside it a link made ahead of need may be shaking hands.
  ConnectionRecord Served() const {
    for (const ConnectionRecord& record : server_table_.List()) {
      if (!record.protocol.empty()) return record;
    }
    return ConnectionRecord();
  }
  uint64_t Handshakes() const {
    return counters_.handshakes_full.value() + counters_.handshakes_resumed.value();
  }
  uint64_t Reauthentications(ReauthenticationCause cause) const {
    return counters_.reauthentications[static_cast<size_t>(cause)].value();
  }

  bool reachable_ = true;
  WorkerContext* reached_ = &server_;  // by those who dial from now on
  std::vector<FakeStream*> dialled_;  // web's ends of the connections to api, open or not
  ConnectionTable server_table_{loop_.get()};
  ConnectionCounters server_counters_;
  LimitsReached server_limits_reached_{loop_.get(), &server_counters_};
  WorkerContext server_ = ContextOf(loop_.get());
  LinkPool server_links_{&server_};
  AcceptedLinks server_accepted_{&server_};
  std::vector<std::unique_ptr<FakeStream>> callers_;

 private:
  // Web's way to api.
  std::unique_ptr<Stream> Dial(const SocketAddress& destination, uint8_t) override {
    auto [near, far] = FakeStream::Pair(loop_.get());
    dialled_.push_back(near.get());
    if (!reachable_) near->faults().fail_open = StreamError::kRefused;
    if (reachable_) {
      InboundConnection::Start(reached_, Arrival{.stream = std::move(far),
                                                 .listener = 0,
                                                 .spec = &inbound_,
                                                 .fixed = nullptr,
                                                 .source = SocketAddress::Parse("10.0.0.1:41000").value(),
                                                 .dialled = destination});
    }
    return std::move(near);
  }
  std::unique_ptr<Stream> DialFrom(const SocketAddress&, const SocketAddress& destination, uint8_t hops) override {
    return Dial(destination, hops);
  }
};

}  // namespace lanyard
