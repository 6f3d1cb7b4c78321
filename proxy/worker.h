// A worker: one thread, one event loop, its own SO_REUSEPORT listeners, connection table and
// pointer to the current MeshView. A connection never leaves its worker.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/base/clock.h"
#include "proxy/connection/access_log.h"
#include "proxy/connection/places.h"
#include "proxy/io/own_sockets.h"
#include "proxy/io/unique_fd.h"
#include "proxy/mesh/connection_tap.h"
#include "proxy/mesh/mesh_view.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// All calls are thread-safe.
class Worker {
 public:
  struct Options {
    int index = 0;
    std::vector<ListenerSpec> listeners;
    // By the listener's index: sockets that listen already. Where there is none, one is opened.
    std::vector<std::vector<UniqueFd>> sockets = {};
    ConnectionLimits limits;
    const Clock* clock = nullptr;      // borrowed
    // Shared by the workers of a process; null: one of its own.
    std::shared_ptr<InboundPlaces> places = nullptr;
    // Of all workers of a process; null: it is the only one.
    std::shared_ptr<OwnSockets> own_sockets = nullptr;
    AccessLog* access_log = nullptr;   // borrowed; null: the process's log
    double access_log_sample_ok = 1;   // as AccessLogSettings
    uint32_t access_log_max_per_second = AccessLogSettings().max_ordinary_per_second;
    ConnectionTap* tap = nullptr;      // likewise; null: nobody watches
  };

  // Binds and listens (a busy port is an error before anything starts), but does not accept yet.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(Options options);
  ~Worker();                           // Stop()

  // Tells a worker of the others of its process, in the order of their indices (itself included): a stream that is to
  // be carried over may be one of theirs. Before Start. They are stopped, all of them, before any is destroyed.
  void SetSiblings(const std::vector<Worker*>& workers);

  // Starts the thread and accepts. The first view must be published before.
  void Start();
  // The same in two steps: a process that takes over from another makes sure first that it can serve.
  void StartWithoutAccepting();
  void StartAccepting();

  // In force from the worker's next turn on; then every open connection is re-checked against it.
  void Publish(std::shared_ptr<const MeshView> view);
  // The newest version whose re-check is complete.
  uint64_t acknowledged_version() const;

  // Streams over links move to the process at the other end of `passage` while this one drains, or come from the one
  // there. At the first worker, for all of them, once they run; `passage` is an end of a Passage.
  void MoveStreamsTo(UniqueFd passage);
  void TakeStreamsFrom(UniqueFd passage);

  // What links still owe their peers when the last stream has ended is waited for so long: the answer to GOAWAY, and
  // both sides' close_notify.
  static constexpr absl::Duration kLinkGrace = absl::Seconds(5);

  // Stops accepting and closes the listeners; says GOAWAY on every link at once; open connections go on. `on_idle` runs
  // once, on the worker's thread, when none is left, and no link either (or kLinkGrace later).
  void Drain(std::function<void()> on_idle);
  // Closes what is still open (reason "drain_deadline"), ends the loop, joins. Idempotent. The first worker is stopped
  // last: it has the line to another process, by which the others say what becomes of their streams.
  void Stop();

  WorkerCounters Counters() const;     // relaxed atomics: never blocks the worker
  // Calls back on the worker's thread with every open connection; with none once stopped.
  void ListConnections(std::function<void(std::vector<ConnectionRecord>)> done);
  // Likewise with what it observed lately.
  void ListObserved(std::function<void(std::vector<ObservedCall>)> done);
  // Bound addresses, in the order of Options::listeners (ports chosen by the kernel filled in).
  std::vector<SocketAddress> BoundAddresses() const;
  // The listening sockets, by the listener's index. They are open until Drain or Stop.
  const std::vector<std::vector<int>>& Sockets() const;

 private:
  struct State;
  explicit Worker(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
