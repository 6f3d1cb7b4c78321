// The thread that owns the schedule of renewals: it asks the authority for what SvidCache says is due,
// and keeps the result in the data_dir.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "identity/agent/authority_client.h"
#include "identity/agent/svid_cache.h"
#include "identity/base/bell.h"
#include "identity/base/clock.h"

namespace lanyard {

// Makes each workload key itself (P-256); a renewed SVID always has a new one. Borrows the cache and the clock.
class SvidRenewer {
 public:
  struct Connection {
    // Null while there is none: then nothing is taken from the cache, and Wake says when to look again.
    std::function<std::shared_ptr<AuthorityClient>()> current;
    // A call failed in a way that says the connection is of no use any more.
    std::function<void(const std::shared_ptr<AuthorityClient>&, const absl::Status&)> broken;
  };
  static constexpr absl::Duration kCallTimeout = absl::Seconds(10);

  // `keep` is called on this thread after changes, at most once a second, and at the end; again while it fails.
  SvidRenewer(SvidCache& cache, Connection connection, std::function<absl::Status(const KeptWorkloads&)> keep,
              const Clock& clock);
  ~SvidRenewer();  // stops and joins; a running call must have been cancelled or it is waited for

  struct Stats {
    uint64_t renewed = 0;
    uint64_t failed = 0;
  };
  // Thread-safe. Since the start.
  Stats stats() const { return {renewed_.load(), failed_.load()}; }
  // Thread-safe: the state or the connection changed.
  void Wake();
  void Stop();

 private:
  void Run();
  void RenewDue();
  void Ask(AuthorityClient& client, const std::shared_ptr<AuthorityClient>& shared,
           const std::vector<SvidCache::Task>& tasks);
  void Report(const SvidCache::Task& task, const absl::Status& status);
  void KeepIfChanged(bool now);
  void WaitForWork() ABSL_LOCKS_EXCLUDED(mutex_);

  SvidCache& cache_;
  const Connection connection_;
  const std::function<absl::Status(const KeptWorkloads&)> keep_;
  const Clock& clock_;
  std::atomic<uint64_t> renewed_ = 0;
  std::atomic<uint64_t> failed_ = 0;
  uint64_t kept_version_ = 0;
  bool keep_failed_ = false;
  absl::Duration kept_at_ = -absl::InfiniteDuration();

  absl::Mutex mutex_;
  Bell changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lanyard
