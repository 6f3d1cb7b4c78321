// Links between two identities for tests: real TLS over streams in memory or over loopback, and an owner that records
// what it is told.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/fake_stream.h"
#include "proxy/io/stream_contract_testing.h"
#include "proxy/link/link.h"
#include "proxy/link/mesh_stream.h"

namespace lanyard {

// Owns links as a pool or a worker does.
class LinkKeeper : public LinkObserver, public LinkReturn {
 public:
  void Keep(std::unique_ptr<Link> link) {
    link->Observe(this);
    links.push_back(std::move(link));
  }
  void TakeBack(std::unique_ptr<Link> link) override {
    ++taken_back;
    Keep(std::move(link));
  }
  std::unique_ptr<Link> Take(Link* link) {
    const auto at = std::find_if(links.begin(), links.end(), [&](const auto& each) { return each.get() == link; });
    if (at == links.end()) return nullptr;
    std::unique_ptr<Link> taken = std::move(*at);
    links.erase(at);
    return taken;
  }
  // The only link, which must be idle.
  std::unique_ptr<Link> TakeIdle() {
    if (links.size() != 1 || !links.front()->idle()) return nullptr;
    return Take(links.front().get());
  }
  void OnOpen(Link* link, const OpenRequest& request) override {
    open = request;
    asked = Take(link);
  }
  void OnAttach(Link* link, const AttachRequest& request) override {
    attach = request;
    asked = Take(link);
  }
  void OnVouch(Link* link, const AttachRequest& request) override {
    vouch = request;
    asked = Take(link);
  }
  void OnVouched(Link*, const absl::Status& answer, uint32_t where) override {
    vouched = answer;
    shard = where;
  }
  void OnPong(Link*) override { ++pongs; }
  void OnGoAway(Link*, GoAwayReason reason) override { go_away = reason; }
  void OnIdle(Link*) override { ++idle_again; }
  void OnClosed(Link* link) override {
    ++closed;
    last_error = link->error();
    last_text = link->error_text();
    Take(link);
  }

  std::vector<std::unique_ptr<Link>> links;
  std::unique_ptr<Link> asked;  // by OPEN, ATTACH or VOUCH
  std::optional<OpenRequest> open;
  std::optional<AttachRequest> attach;
  std::optional<AttachRequest> vouch;
  std::optional<absl::Status> vouched;
  uint32_t shard = 0;           // as the answer said
  int pongs = 0;
  std::optional<GoAwayReason> go_away;
  int taken_back = 0;
  int idle_again = 0;
  int closed = 0;
  StreamError last_error = StreamError::kNone;
  std::string last_text;
};

inline std::shared_ptr<const TlsContext> LinkContext(const FakeCa& root, const std::string& id) {
  TlsContext::Options options;
  options.alpn = {std::string(kLinkAlpn)};
  return TlsContext::Create(root.Intermediate().Leaf(id).Svid(), root.Bundles(), std::make_shared<VerifyCache>(),
                            SystemClock(), options)
      .value();
}

// "web" opens links to "api".
struct LinkIdentities {
  FakeCa root = FakeCa::Root("example.org");
  std::shared_ptr<const TlsContext> web = LinkContext(root, "spiffe://example.org/web");
  std::shared_ptr<const TlsContext> api = LinkContext(root, "spiffe://example.org/api");
  std::shared_ptr<const TlsContext> other = LinkContext(root, "spiffe://example.org/other");
};
inline const LinkIdentities& LinkIds() {
  static const LinkIdentities* const identities = new LinkIdentities;
  return *identities;
}

struct LinkPair {
  std::unique_ptr<Link> opener;
  std::unique_ptr<Link> acceptor;
  FakeStream* opener_lower = nullptr;
  FakeStream* acceptor_lower = nullptr;
};

inline StreamToken TestToken(uint8_t fill) {
  StreamToken token;
  token.fill(fill);
  return token;
}

// Two proxies on one loop with virtual time.
class LinkHarness : public StreamHarness {
 public:
  explicit LinkHarness(FakeStream::Faults faults = {}, size_t capacity_bytes = 65536)
      : faults_(faults), capacity_bytes_(capacity_bytes) {}
  ~LinkHarness() override {
    near.links.clear();
    far.links.clear();
    near.asked.reset();
    far.asked.reset();
  }
  EventLoop* loop() override { return loop_.get(); }

  LinkPair Links(const std::shared_ptr<const TlsContext>& opener = LinkIds().web,
                 const std::shared_ptr<const TlsContext>& acceptor = LinkIds().api) {
    auto [left, right] = FakeStream::Pair(loop_.get(), capacity_bytes_);
    LinkPair pair;
    pair.opener_lower = left.get();
    pair.acceptor_lower = right.get();
    auto client = std::make_unique<TlsStream>(std::move(left), opener->NewClient(), &pool);
    auto server = std::make_unique<TlsStream>(std::move(right), acceptor->NewServer(), &pool);
    EXPECT_TRUE(TurnUntil([&] {
      const IoStatus one = client->Open().status, two = server->Open().status;
      return one == IoStatus::kOk && two == IoStatus::kOk;
    }));
    pair.opener_lower->faults() = pair.acceptor_lower->faults() = faults_;
    pair.opener = std::make_unique<Link>(loop_.get(), std::move(client), LinkRole::kOpener, opener);
    pair.acceptor = std::make_unique<Link>(loop_.get(), std::move(server), LinkRole::kAcceptor, acceptor);
    return pair;
  }

  // A stream over `pair`; its acceptor has not accepted.
  std::pair<std::unique_ptr<MeshStream>, std::unique_ptr<MeshStream>> Open(LinkPair* pair, uint8_t token = 7) {
    if (pair->acceptor != nullptr) far.Keep(std::move(pair->acceptor));
    auto opener = MeshStream::Open(loop_.get(), std::move(pair->opener),
                                   {TestToken(token), "10.0.0.7:8080", "10.0.0.1:5555"}, &near);
    EXPECT_TRUE(TurnUntil([&] { return far.asked != nullptr; }));
    return {std::move(opener), MeshStream::Accepted(loop_.get(), std::move(far.asked), far.open->token, &far)};
  }

  StreamEnds Connect() override {
    LinkPair pair = Links();
    opener_lower = pair.opener_lower;
    acceptor_lower = pair.acceptor_lower;
    auto [left, right] = Open(&pair);
    right->Accept(0);
    return {std::move(left), std::move(right)};
  }

  BufferPool pool{80 << 10};
  LinkKeeper near;  // the opener's
  LinkKeeper far;
  FakeStream* opener_lower = nullptr;  // of the latest Connect
  FakeStream* acceptor_lower = nullptr;

 private:
  FakeStream::Faults faults_;
  size_t capacity_bytes_;
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
};

}  // namespace lanyard
