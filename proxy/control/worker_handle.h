// A worker as the control side sees it: somebody to publish to, and to ask for figures.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "proxy/mesh/mesh_view.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// Thread-safe. Implementations: the proxy's workers (proxy.cc) and FakeWorkerHandle (fake_worker_handle.h).
class WorkerHandle {
 public:
  virtual ~WorkerHandle() = default;

  // In force from the worker's next turn on.
  virtual void Publish(std::shared_ptr<const MeshView> view) = 0;
  // The newest version that the worker took and re-checked every open connection against.
  virtual uint64_t acknowledged_version() const = 0;
  virtual WorkerCounters Counters() const = 0;
  // Calls `done` once, on any thread.
  virtual void ListConnections(std::function<void(std::vector<ConnectionRecord>)> done) = 0;
  // Likewise.
  virtual void ListObserved(std::function<void(std::vector<ObservedCall>)> done) = 0;
};

}  // namespace lanyard
