// The workers of one process, and the sockets they start with.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/config.h"
#include "proxy/connection/access_log.h"
#include "proxy/control/hand_over.h"
#include "proxy/control/take_over.h"
#include "proxy/control/worker_handle.h"
#include "proxy/mesh/connection_tap.h"
#include "proxy/worker.h"

namespace lanyard {

// A worker as the control thread knows it.
class PublishedWorker : public WorkerHandle {
 public:
  explicit PublishedWorker(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}
  void Publish(std::shared_ptr<const MeshView> view) override { worker_->Publish(std::move(view)); }
  uint64_t acknowledged_version() const override { return worker_->acknowledged_version(); }
  WorkerCounters Counters() const override { return worker_->Counters(); }
  void ListConnections(std::function<void(std::vector<ConnectionRecord>)> done) override {
    worker_->ListConnections(std::move(done));
  }
  void ListObserved(std::function<void(std::vector<ObservedCall>)> done) override {
    worker_->ListObserved(std::move(done));
  }
  Worker& worker() const { return *worker_; }

 private:
  std::unique_ptr<Worker> worker_;
};

using Workers = std::vector<std::unique_ptr<PublishedWorker>>;

// What tells of connections, shared by the workers.
struct Accounts {
  std::unique_ptr<AccessLog> access_log;  // null: the process's log
  ConnectionTap tap;
};

// settings.workers of them, which know each other; they have not started. Their listening sockets are those that
// `take_over` (null: there is none) has for a listener's address, dealt out so that no caller who waits in one is
// forgotten, whatever the number of workers was; for any other listener they are opened, if its address is free. The
// first worker's bound addresses are everybody's: a port that the kernel chose is chosen once. Borrows the clock
// and the accounts.
absl::StatusOr<Workers> CreateWorkers(const ProxySettings& settings, const Clock& clock, Accounts& accounts,
                                      TakeOver* take_over);

// What they listen on, for another process; theirs all the same.
std::vector<HandedSocket> ListeningSockets(const ProxySettings& settings, const Workers& workers);

// Connections of all of them.
uint64_t CountOpen(const Workers& workers);

std::vector<WorkerHandle*> Handles(const Workers& workers);

// In the order that they need, the first last.
void StopAll(const Workers& workers);

}  // namespace lanyard
