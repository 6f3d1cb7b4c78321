// What the mesh says, from the agent's stream and, until that speaks, from disk; and what this proxy says in return.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/mesh_client.h"
#include "proxy/control/mesh_update.h"
#include "proxy/control/rules_in_force.h"

namespace lanyard {

// On the control thread; the stream has a thread of its own, which keeps views on disk as well. Borrows the loop and
// the clock; create before loop.Start(), destroy after loop.Stop().
class MeshWatch {
 public:
  struct Options {
    std::string address;     // as WorkloadApiAddress gave it; empty: there is no mesh, and nothing happens
    std::string state_file;  // empty: no view is kept
    bool keep = true;        // false: another process still keeps its views there, until KeepViews(true)
    const Clock* clock = nullptr;
    MeshClient::Options client = {};
    // Every whole view that can be read, on the control thread: at once from disk, then as the agent sends them.
    std::function<void(std::shared_ptr<const MeshUpdate>, RulesInForce::Source)> on_view;
    // Behind the first of them, or once the agent has said that it knows no mesh.
    std::function<void()> on_first_word = {};
  };
  MeshWatch(Options options, ControlLoop& loop);
  ~MeshWatch();

  // Reads what was kept, and connects.
  void Start();

  // From its return on, this process writes nothing (false), or whatever came meanwhile and comes (true). Thread-safe.
  void KeepViews(bool keep);

  // What is kept on disk now; null where that is nothing, or nothing that can be used (which is logged). Any thread.
  std::shared_ptr<const MeshUpdate> ReadKept() const;

  // For the status that the agent passes on. A view is applied once it is in force in every worker.
  void Applied(uint64_t view_version);
  void Shows(const std::string& spiffe_id, const std::string& serial, absl::Time not_after);
  void OpenConnections(uint64_t count);
  void Observed(std::shared_ptr<const ObservedReport> report);

  const std::string& address() const { return options_.address; }
  bool connected() const { return connected_; }        // the agent's newest view is here
  bool has_spoken() const { return spoken_; }          // on_first_word was called
  uint64_t views() const { return views_; }            // received from the agent
  uint64_t refused() const { return refused_; }        // views that could not be read, and were not applied
  uint64_t keep_failures() const { return keep_failures_.load(std::memory_order_relaxed); }
  absl::Time received_at() const { return received_at_; }
  const std::string& last_error() const { return last_error_; }  // of the stream; empty while connected
  const ProxyStatus& status() const { return status_; }

 private:
  void TakeView(std::shared_ptr<const MeshUpdate> view);
  void Spoke();
  void Refuse(uint64_t version, const absl::Status& why);
  void Ended(const absl::Status& why, absl::Duration wait);
  void Keep(std::shared_ptr<const MeshUpdate> view);  // on the stream's thread
  void Write(const MeshUpdate& view) ABSL_EXCLUSIVE_LOCKS_REQUIRED(keep_mutex_);
  void Report();

  const Options options_;
  ControlLoop& loop_;
  bool connected_ = false, spoken_ = false;
  uint64_t views_ = 0, refused_ = 0, newest_ = 0;
  absl::Time received_at_ = absl::InfinitePast();
  std::string last_error_;
  ProxyStatus status_;
  std::atomic<uint64_t> keep_failures_ = 0;
  absl::Mutex keep_mutex_;
  bool keep_ ABSL_GUARDED_BY(keep_mutex_);
  std::shared_ptr<const MeshUpdate> unkept_ ABSL_GUARDED_BY(keep_mutex_);  // what came meanwhile
  std::unique_ptr<MeshClient> client_;
};

}  // namespace lanyard
