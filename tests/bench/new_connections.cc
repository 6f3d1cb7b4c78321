#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "tests/bench/exchange.h"
#include "tests/bench/load.h"

namespace lanyard::bench {

void RunNewConnections(const LoadOptions& options) {
  Poller poller;
  Ready();

  Histogram latencies;
  uint64_t failed = 0;
  uint64_t begun = 0;
  const uint64_t begin_ns = NowNs();
  const uint64_t deadline_ns = begin_ns + static_cast<uint64_t>(options.timeout_s * 1e9);
  std::vector<std::unique_ptr<Exchange>> slots(std::min<uint64_t>(options.connections, options.count));
  const auto begin = [&](size_t slot) {
    ++begun;
    slots[slot] = std::make_unique<Exchange>(options.target, options.size_bytes);
    poller.Add(slots[slot]->fd(), slot);
  };
  for (size_t slot = 0; slot < slots.size(); ++slot) begin(slot);
  while (latencies.count() + failed < options.count) {
    for (const epoll_event& event : poller.Wait(deadline_ns)) {
      const size_t slot = event.data.u64;
      if (slots[slot] == nullptr) continue;
      const Exchange::Progress progress = slots[slot]->Advance();
      if (progress == Exchange::Progress::kWaiting) continue;
      if (progress == Exchange::Progress::kFailed) {
        ++failed;
      } else {
        latencies.Add(NowNs() - slots[slot]->started_ns());
      }
      slots[slot].reset();
      if (begun < options.count) begin(slot);
    }
  }
  char head[160];
  snprintf(head, sizeof head, "{\"count\": %llu, \"failed\": %llu, \"seconds\": %.6f, ",
           static_cast<unsigned long long>(latencies.count()), static_cast<unsigned long long>(failed),
           static_cast<double>(NowNs() - begin_ns) / 1e9);
  Report(head + LatencyFields(latencies) + "}");
}

}  // namespace lanyard::bench
