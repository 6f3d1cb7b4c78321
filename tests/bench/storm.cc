// Requests on connections that stay open, while new connections arrive at a fixed rate: RunStorm.
#include <cstdio>
#include <memory>
#include <unordered_map>

#include "tests/bench/exchange.h"
#include "tests/bench/load.h"
#include "tests/bench/ticker.h"

namespace lanyard::bench {
namespace {

// Arrivals under way at once. A proxy that serves fewer than arrive has reached its limit long before: more
// would only measure the length of its queue.
constexpr size_t kMostArrivals = 1000;

constexpr uint64_t kTickTag = ~uint64_t{0};
constexpr uint64_t kFirstArrivalTag = uint64_t{1} << 32;  // below: a request connection's index

// The new connections: each makes one exchange and is closed.
class Arrivals {
 public:
  Arrivals(const LoadOptions& options, Poller& poller) : options_(options), poller_(poller) {}

  void Begin(uint64_t count) {
    for (; count > 0; --count) {
      ++due_;
      if (under_way_.size() >= kMostArrivals) {
        ++left_out_;
        continue;
      }
      const uint64_t tag = kFirstArrivalTag + due_;
      auto exchange = std::make_unique<Exchange>(options_.target, options_.size_bytes);
      poller_.Add(exchange->fd(), tag);
      under_way_.emplace(tag, std::move(exchange));
    }
  }

  void Advance(uint64_t tag) {
    const auto found = under_way_.find(tag);
    if (found == under_way_.end()) return;  // closed by an earlier event of the same batch
    const Exchange::Progress progress = found->second->Advance();
    if (progress == Exchange::Progress::kWaiting) return;
    if (progress == Exchange::Progress::kAnswered) latencies_.Add(NowNs() - found->second->started_ns());
    if (progress == Exchange::Progress::kFailed) ++failed_;
    under_way_.erase(found);
  }

  std::string Fields() const {
    char text[256];
    snprintf(text, sizeof text,
             "\"arrived\": %llu, \"answered\": %llu, \"failed\": %llu, \"left_out\": %llu, \"new_p99_us\": %.1f",
             static_cast<unsigned long long>(due_), static_cast<unsigned long long>(latencies_.count()),
             static_cast<unsigned long long>(failed_), static_cast<unsigned long long>(left_out_),
             static_cast<double>(latencies_.PercentileNs(99)) / 1e3);
    return text;
  }

 private:
  const LoadOptions& options_;
  Poller& poller_;
  std::unordered_map<uint64_t, std::unique_ptr<Exchange>> under_way_;
  Histogram latencies_;
  uint64_t due_ = 0;
  uint64_t failed_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace

void RunStorm(const LoadOptions& options) {
  const uint64_t deadline_ns = DeadlineNs(options);
  Poller poller;
  const Exchanges exchanges = OpenAll(options, poller, deadline_ns);
  Ready();

  Arrivals arrivals(options, poller);
  Histogram latencies;
  const uint64_t begin_ns = NowNs();
  const uint64_t stop_ns = begin_ns + static_cast<uint64_t>(options.seconds * 1e9);
  Ticker ticker(options.rate);
  poller.AddReadable(ticker.fd(), kTickTag);
  for (const auto& exchange : exchanges) RequireAlive(exchange->Again());
  size_t under_way = exchanges.size();
  while (under_way > 0) {
    for (const epoll_event& event : poller.Wait(deadline_ns)) {
      const uint64_t tag = event.data.u64;
      if (tag == kTickTag) {
        arrivals.Begin(ticker.Take());
      } else if (tag >= kFirstArrivalTag) {
        arrivals.Advance(tag);
      } else if (RequireAlive(exchanges[tag]->Advance()) == Exchange::Progress::kAnswered) {
        const uint64_t now_ns = NowNs();
        latencies.Add(now_ns - exchanges[tag]->started_ns());
        if (now_ns < stop_ns) {
          RequireAlive(exchanges[tag]->Again());
        } else {
          --under_way;
        }
      }
    }
  }
  char head[128];
  snprintf(head, sizeof head, "{\"count\": %llu, \"seconds\": %.6f, ",
           static_cast<unsigned long long>(latencies.count()), static_cast<double>(NowNs() - begin_ns) / 1e9);
  Report(head + LatencyFields(latencies) + ", " + arrivals.Fields() + "}");
}

}  // namespace lanyard::bench
