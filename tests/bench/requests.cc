// Loads made of requests on connections that stay open: RunRequests and RunIdle.
#include <cstdio>
#include <memory>
#include <vector>

#include "tests/bench/exchange.h"
#include "tests/bench/load.h"

namespace lanyard::bench {
namespace {

// Handshakes under way while connections are being made, so that no listen queue overflows.
constexpr size_t kOpeningAtOnce = 16;

}  // namespace

uint64_t DeadlineNs(const LoadOptions& options) { return NowNs() + static_cast<uint64_t>(options.timeout_s * 1e9); }

Exchanges OpenAll(const LoadOptions& options, Poller& poller, uint64_t deadline_ns) {
  Exchanges exchanges;
  size_t answered = 0;
  while (answered < options.connections) {
    while (exchanges.size() < options.connections && exchanges.size() - answered < kOpeningAtOnce) {
      exchanges.push_back(std::make_unique<Exchange>(options.target, options.size_bytes));
      poller.Add(exchanges.back()->fd(), exchanges.size() - 1);
    }
    for (const epoll_event& event : poller.Wait(deadline_ns)) {
      const Exchange::Progress progress = exchanges[event.data.u64]->Advance();
      if (progress == Exchange::Progress::kFailed) Die("a connection was closed before its first answer");
      if (progress == Exchange::Progress::kAnswered) ++answered;
    }
  }
  return exchanges;
}

Exchange::Progress RequireAlive(Exchange::Progress progress) {
  if (progress == Exchange::Progress::kFailed) Die("a connection was closed in the middle of the load");
  return progress;
}

void RunRequests(const LoadOptions& options) {
  const uint64_t deadline_ns = DeadlineNs(options);
  Poller poller;
  const Exchanges exchanges = OpenAll(options, poller, deadline_ns);
  Ready();

  Histogram latencies;
  const uint64_t begin_ns = NowNs();
  const uint64_t stop_ns = begin_ns + static_cast<uint64_t>(options.seconds * 1e9);
  uint64_t now_ns = begin_ns;
  size_t under_way = exchanges.size();
  for (const auto& exchange : exchanges) RequireAlive(exchange->Again());
  while (under_way > 0) {
    for (const epoll_event& event : poller.Wait(deadline_ns)) {
      Exchange& exchange = *exchanges[event.data.u64];
      if (RequireAlive(exchange.Advance()) != Exchange::Progress::kAnswered) continue;
      now_ns = NowNs();
      latencies.Add(now_ns - exchange.started_ns());
      if (now_ns < stop_ns) {
        RequireAlive(exchange.Again());
      } else {
        --under_way;
      }
    }
  }
  char head[128];
  snprintf(head, sizeof head, "{\"count\": %llu, \"seconds\": %.6f, ",
           static_cast<unsigned long long>(latencies.count()), static_cast<double>(now_ns - begin_ns) / 1e9);
  Report(head + LatencyFields(latencies) + "}");
}

void RunIdle(const LoadOptions& options) {
  Poller poller;
  const Exchanges exchanges = OpenAll(options, poller, DeadlineNs(options));
  Ready();
  Report("{\"count\": " + std::to_string(exchanges.size()) + "}");
}

}  // namespace lanyard::bench
