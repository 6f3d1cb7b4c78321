// The SVIDs of this node's workloads and when each is due for renewal, as a state machine: it
// neither waits nor calls; SvidRenewer does.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "identity/agent/entry.h"
#include "identity/agent/workload_view.h"
#include "identity/base/backoff.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// An SVID as it is kept across a restart.
struct KeptSvid {
  std::string entry_id;
  X509Svid svid;
  absl::Time obtained_at;
};

// What an agent needs to serve without the authority.
struct KeptWorkloads {
  NodeState state;
  std::vector<KeptSvid> svids;
};

// Thread-safe. Borrows clock and random. The wall clock may jump: what was planned by a time that has not come yet, by
// the clock as it is now, is due at once.
class SvidCache {
 public:
  // Renewal is due when this share of the time from obtaining an SVID to its end has passed: drawn once
  // an identity and kept, so that workloads which started together part ways and the load becomes flat.
  static constexpr double kEarliestPhase = 0.40;
  static constexpr double kLatestPhase = 0.60;
  static constexpr size_t kMaxEntries = 20000;  // an authority of this version gives a node no more

  // An SVID to fetch. `generation` ties the result to the entry as it was when the task was taken.
  struct Task {
    std::shared_ptr<const WorkloadEntry> entry;
    uint64_t generation = 0;
  };

  SvidCache(TrustDomain trust_domain, const Clock& clock, Random& random);

  // Replaces entries, bundles, and what the mesh knows unless nothing is said of it.
  // A new entry, one whose ID, lifetime or DNS names changed, and one whose SVID the
  // new bundles no longer verify or whose serial is banned are due at once; the SVID of a removed entry, of a changed
  // ID, and one that no longer verifies or is banned by its serial are dropped. Of more than kMaxEntries those stay
  // that are here already, then the first of the new ones; the others are left out, the rest of the state is in force.
  void SetState(NodeState state);
  // What an earlier process kept; SVIDs that do not verify now are left out. Before SetState.
  void Restore(KeptWorkloads kept);
  KeptWorkloads Keep() const;

  // Entries that are due and not yet taken, the one nearest its end first, at most `max`. Each must be answered
  // by Succeed or Fail.
  std::vector<Task> TakeDue(size_t max);
  // When the next one is due; InfiniteFuture when none is.
  absl::Time NextDue() const;

  // Refuses (InvalidArgument; counts as a failure) an SVID of another ID or one that does not verify against the
  // bundles now. Ignored when the entry was removed or changed meanwhile. To be seen once Publish is called.
  absl::Status Succeed(const Task& task, X509Svid svid);
  // Due again after a backoff with jitter, never longer than a tenth of the SVID's lifetime. That it failed is to be
  // seen once Publish is called.
  void Fail(const Task& task);

  // Makes what Succeed and Fail changed visible, a batch at once. SetState and Restore need no call.
  void Publish();

  // Null until there is a first state.
  std::shared_ptr<const WorkloadView> view() const;
  // Entries of the last state that are left out.
  size_t left_out() const;
  // Called after every change of the view, on the thread that made it, without locks held. Set before
  // other threads use the cache.
  void OnChange(std::function<void()> callback) { on_change_ = std::move(callback); }
  // Of the SVIDs held; InfiniteDuration when there are none. How soon an outage of the authority hurts.
  absl::Duration ShortestLifetime() const;

 private:
  struct Identity {
    std::shared_ptr<const WorkloadEntry> entry;
    std::optional<X509Svid> svid;
    absl::Time obtained_at;
    absl::Time planned_at;  // when `due` was decided
    absl::Time due;
    uint64_t generation = 0;
    bool taken = false;
    bool failed = false;  // to fetch it, since it was last held or changed
    double phase = 0.5;
    Backoff backoff;
  };

  void Replace(NodeState state);
  void LeaveOut(std::vector<WorkloadEntry>& entries) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Identity NewIdentity(std::shared_ptr<const WorkloadEntry> entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Change(Identity& identity, std::shared_ptr<const WorkloadEntry> entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(Identity& identity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropUnverifiable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropBanned() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Plan(Identity& identity, absl::Time due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold(Identity& identity, X509Svid svid, absl::Time obtained_at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Identity* Find(const Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeView() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TrustDomain trust_domain_;
  const Clock& clock_;
  Random& random_;
  std::function<void()> on_change_ = [] {};

  mutable absl::Mutex mutex_;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t generations_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> order_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Identity> identities_ ABSL_GUARDED_BY(mutex_);
  BundleSet bundles_ ABSL_GUARDED_BY(mutex_);
  bool whole_ ABSL_GUARDED_BY(mutex_) = true;
  std::shared_ptr<const NodeMesh> mesh_ ABSL_GUARDED_BY(mutex_);
  size_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  bool unseen_ ABSL_GUARDED_BY(mutex_) = false;  // something is held that the view does not show
  std::shared_ptr<const WorkloadView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lanyard
