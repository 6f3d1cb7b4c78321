// A worker that acknowledges when the test says so.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "proxy/control/worker_handle.h"

namespace lanyard {

// Thread-safe.
class FakeWorkerHandle : public WorkerHandle {
 public:
  void Publish(std::shared_ptr<const MeshView> view) override {
    std::lock_guard<std::mutex> lock(mutex_);
    views_.push_back(std::move(view));
  }
  uint64_t acknowledged_version() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return acknowledged_;
  }
  WorkerCounters Counters() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return counters_;
  }
  void ListConnections(std::function<void(std::vector<ConnectionRecord>)> done) override {
    std::vector<ConnectionRecord> connections;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (mute_) return;
      connections = connections_;
    }
    done(std::move(connections));
  }

  void ListObserved(std::function<void(std::vector<ObservedCall>)> done) override {
    std::vector<ObservedCall> observed;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (mute_) return;
      observed = observed_;
    }
    done(std::move(observed));
  }

  // Takes the newest view published.
  void Acknowledge() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!views_.empty()) acknowledged_ = views_.back()->version;
  }
  std::vector<std::shared_ptr<const MeshView>> views() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return views_;
  }
  void SetCounters(WorkerCounters counters) {
    std::lock_guard<std::mutex> lock(mutex_);
    counters_ = std::move(counters);
  }
  void SetConnections(std::vector<ConnectionRecord> connections) {
    std::lock_guard<std::mutex> lock(mutex_);
    connections_ = std::move(connections);
  }
  void SetObserved(std::vector<ObservedCall> observed) {
    std::lock_guard<std::mutex> lock(mutex_);
    observed_ = std::move(observed);
  }
  // From now on ListConnections and ListObserved never answer.
  void Mute() {
    std::lock_guard<std::mutex> lock(mutex_);
    mute_ = true;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const MeshView>> views_;
  uint64_t acknowledged_ = 0;
  WorkerCounters counters_;
  std::vector<ConnectionRecord> connections_;
  std::vector<ObservedCall> observed_;
  bool mute_ = false;
};

}  // namespace lanyard
