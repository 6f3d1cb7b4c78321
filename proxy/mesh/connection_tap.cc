#include "proxy/mesh/connection_tap.h"

#include <utility>

namespace lanyard {

void ConnectionTap::SetWatched(bool watched) {
  watched_.store(watched, std::memory_order_relaxed);
  if (!watched) Take();
}

void ConnectionTap::Offer(ConnectionEvent event) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (batch_.events.size() >= kMaxWaiting) {
      ++batch_.lost;
      return;
    }
    batch_.events.push_back(std::move(event));
    if (batch_.events.size() > 1) return;
  }
  on_events_();
}

ConnectionTap::Batch ConnectionTap::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(batch_, {});
}

}  // namespace lanyard
