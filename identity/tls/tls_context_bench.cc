// What a mesh connection costs in cryptography alone: no sockets, both ends in one thread.
//   bazel run //identity/tls:tls_context_bench
#include "identity/tls/tls_context.h"

#include <benchmark/benchmark.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/client_sessions.h"
#include "identity/tls/handshake_testing.h"
#include "identity/tls/verify_cache.h"

namespace lanyard {
namespace {

std::shared_ptr<const TlsContext> Context(const FakeCa& root, const FakeCa& issuer, const char* id,
                                          size_t cache_entries = VerifyCache::kDefaultMaxEntries) {
  return TlsContext::Create(issuer.Leaf(id).Svid(), root.Bundles(), std::make_shared<VerifyCache>(cache_entries),
                            SystemClock(), {})
      .value();
}

struct Peers {
  explicit Peers(size_t cache_entries = VerifyCache::kDefaultMaxEntries)
      : client(Context(root, issuer, "spiffe://example.org/client", cache_entries)),
        server(Context(root, issuer, "spiffe://example.org/server", cache_entries)) {}

  FakeCa root = FakeCa::Root("example.org");
  FakeCa issuer = root.Intermediate();
  std::shared_ptr<const TlsContext> client;
  std::shared_ptr<const TlsContext> server;
};

void BM_FullHandshake(benchmark::State& state) {
  const Peers peers;
  for (auto _ : state) {
    const TestHandshake done = RunHandshake(peers.client->NewClient(), peers.server->NewServer());
    if (!done.Succeeded()) state.SkipWithError("the handshake failed");
  }
}
BENCHMARK(BM_FullHandshake);

void BM_ResumedHandshake(benchmark::State& state) {
  const Peers peers;
  ClientSessionCache sessions;
  for (auto _ : state) {
    bssl::UniquePtr<SSL> client = peers.client->NewClient();
    sessions.Attach(client.get(), "peer");
    TestHandshake done = RunHandshake(std::move(client), peers.server->NewServer());
    Send(done.server.get(), done.client.get(), "x");  // the next ticket is on its way
    if (!done.Succeeded()) state.SkipWithError("the handshake failed");
    state.counters["resumed"] = SSL_session_reused(done.client.get());
  }
}
BENCHMARK(BM_ResumedHandshake);

void BM_NewSsl(benchmark::State& state) {
  const Peers peers;
  for (auto _ : state) benchmark::DoNotOptimize(peers.client->NewClient());
}
BENCHMARK(BM_NewSsl);

void BM_Record(benchmark::State& state) {
  const Peers peers;
  TestHandshake done = RunHandshake(peers.client->NewClient(), peers.server->NewServer());
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(Send(done.client.get(), done.server.get(), text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_Record)->Arg(64)->Arg(4096)->Arg(16384);

}  // namespace
}  // namespace lanyard
