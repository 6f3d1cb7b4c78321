// What a change of the view costs a worker that has 9,000 connections open, over streams in memory.
//   bazel run //proxy/connection:recheck_bench
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/connection/connection_testing.h"

namespace lanyard {
namespace {

constexpr int kConnections = 9000;
constexpr int kStrangers = 9;  // of every thousand

class Crowd : public ConnectionTest {
 public:
  Crowd() {
    context_.limits.max_handshakes = kConnections;
    stranger_ = Context(TestIdentities::Get().root.Leaf("spiffe://example.org/stranger"),
                        TestIdentities::Get().root.Bundles());
    View(ViewOfAll());
    for (int i = 0; i < kConnections; ++i) {
      CallIn();
      auto caller = CallTls(i % 1000 < kStrangers ? stranger_ : web_);
      TurnUntil([&] {
        caller->Open();
        return dialer_.answerers.size() == static_cast<size_t>(i + 1);
      });
      callers_.push_back(std::move(caller));
    }
  }
  void TestBody() override {}

  std::shared_ptr<MeshView> ViewOfAll() { return InboundView("spiffe://example.org/*"); }
  // Until every marked connection was looked at.
  void Apply(std::shared_ptr<MeshView> view) {
    bool done = false;
    const ViewChange change = CompareViews(context_.view.get(), *view);
    context_.view = std::move(view);
    table_.Recheck(change, [&] { done = true; });
    while (!done) loop_->RunOnce(absl::ZeroDuration());
  }
  std::shared_ptr<MeshView> Rotated() {
    auto view = ViewOfAll();
    view->tls = Context(TestIdentities::Get().root.Leaf(kApiId), TestIdentities::Get().root.Bundles());
    return view;
  }
  std::shared_ptr<MeshView> Renamed(int number) {
    auto view = ViewOfAll();
    std::vector<PolicyRule> rules = view->inbound.rules();
    rules[0].name = std::to_string(number);
    view->inbound = InboundPolicy::Create(std::move(rules)).value();
    return view;
  }
  size_t open() const { return table_.size(); }

 private:
  std::shared_ptr<const TlsContext> stranger_;
  std::vector<std::unique_ptr<TlsStream>> callers_;
};

BanSet BanOf(const std::string& peers) {
  return BanSet({Ban{BanSubject::Parse(peers).value(), "", absl::UnixEpoch()}});
}

Crowd& TheCrowd() {
  static Crowd* const crowd = new Crowd;
  return *crowd;
}

void BM_OwnRotation(benchmark::State& state) {
  const auto one = TheCrowd().Rotated(), two = TheCrowd().Rotated();
  int round = 0;
  for (auto unused : state) TheCrowd().Apply(++round % 2 == 0 ? one : two);
}
BENCHMARK(BM_OwnRotation)->Unit(benchmark::kMicrosecond);

void BM_BanOfNobodyHere(benchmark::State& state) {
  int round = 0;
  for (auto unused : state) {
    auto view = TheCrowd().ViewOfAll();
    view->bans = BanOf("spiffe://example.org/gone" + std::to_string(++round));
    TheCrowd().Apply(view);
  }
}
BENCHMARK(BM_BanOfNobodyHere)->Unit(benchmark::kMicrosecond);

void BM_PolicyThatTouchesAll(benchmark::State& state) {
  int round = 0;
  for (auto unused : state) TheCrowd().Apply(TheCrowd().Renamed(++round));
}
BENCHMARK(BM_PolicyThatTouchesAll)->Unit(benchmark::kMicrosecond);

// Once each: those who are closed stay closed.
void BM_BanOfOneInAHundred(benchmark::State& state) {
  for (auto unused : state) {
    auto view = TheCrowd().ViewOfAll();
    view->bans = BanOf("spiffe://example.org/stranger");
    TheCrowd().Apply(view);
  }
  state.counters["open_after"] = static_cast<double>(TheCrowd().open());
}
BENCHMARK(BM_BanOfOneInAHundred)->Unit(benchmark::kMicrosecond)->Iterations(1);

void BM_BanOfEverybody(benchmark::State& state) {
  for (auto unused : state) {
    auto view = TheCrowd().ViewOfAll();
    view->bans = BanOf("spiffe://example.org/*");
    TheCrowd().Apply(view);
  }
  state.counters["open_after"] = static_cast<double>(TheCrowd().open());
}
BENCHMARK(BM_BanOfEverybody)->Unit(benchmark::kMicrosecond)->Iterations(1);

}  // namespace
}  // namespace lanyard
