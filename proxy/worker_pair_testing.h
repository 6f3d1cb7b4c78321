// A pair of workers with everything around them, as a test fixture.
//   caller -> outbound worker ("web") -> mutual TLS -> inbound worker ("api") -> server
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/tls_context.h"
#include "proxy/worker.h"
#include "proxy/worker_peers_testing.h"

namespace lanyard {

inline constexpr char kWeb[] = "spiffe://example.org/web";
inline constexpr char kApi[] = "spiffe://example.org/api";

inline std::vector<PeerPattern> Peers(const std::vector<std::string>& texts) {
  std::vector<PeerPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(PeerPattern::Parse(text).value());
  return patterns;
}

inline uint64_t CountOf(const std::vector<std::pair<std::string, uint64_t>>& counts, const std::string& name) {
  for (const auto& [key, count] : counts) {
    if (key == name) return count;
  }
  return 0;
}

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

  // Of a SPIFFE workload that does not speak the mesh protocol.
  std::shared_ptr<const TlsContext> PlainIdentity(const std::string& id) {
    return TlsContext::Create(intermediate_.Leaf(id).Svid(), root_.Bundles(), cache_, SystemClock(), {}).value();
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

}  // namespace lanyard
