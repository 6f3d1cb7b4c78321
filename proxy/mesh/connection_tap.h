// What happens to connections, on its way from the workers to whoever watches them live.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

struct ConnectionEvent {
  enum class Kind { kOpened, kClosed };
  Kind kind = Kind::kOpened;   // opened: application bytes may flow; what is refused is only closed
  absl::Time time;
  ConnectionRecord record;
  std::string close_reason;    // kClosed
  std::string detail;          // likewise; may be empty
};

// Thread-safe. While nobody watches, a worker pays a relaxed load when a connection opens and one when it closes.
class ConnectionTap {
 public:
  // Events not yet taken; more are lost, and counted.
  static constexpr size_t kMaxWaiting = 4096;

  struct Batch {
    std::vector<ConnectionEvent> events;
    uint64_t lost = 0;  // after them
  };

  // Before other threads use it. `on_events` is called, on an offering thread and without locks held, when there is
  // something to take and was nothing before.
  void OnEvents(std::function<void()> on_events) { on_events_ = std::move(on_events); }

  bool watched() const { return watched_.load(std::memory_order_relaxed); }
  void SetWatched(bool watched);
  void Offer(ConnectionEvent event);
  Batch Take();

 private:
  std::function<void()> on_events_ = [] {};
  std::atomic<bool> watched_ = false;
  std::mutex mutex_;  // guards batch_
  Batch batch_;
};

}  // namespace lanyard
