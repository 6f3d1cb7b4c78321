#include "identity/agent/svid_renewer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "identity/base/logging.h"
#include "identity/spiffe/csr.h"
#include "identity/spiffe/private_key.h"

namespace lanyard {
namespace {

constexpr absl::Duration kKeepInterval = absl::Seconds(1);
// Looks at the clock at least this often, as the wall clock may be set while it waits.
constexpr absl::Duration kLongestWait = absl::Seconds(5);

struct Prepared {
  SvidCache::Task task;
  PrivateKey key;
};

bool SaysConnectionIsBroken(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsUnauthenticated(status);
}

}  // namespace

SvidRenewer::SvidRenewer(SvidCache& cache, Connection connection,
                         std::function<absl::Status(const KeptWorkloads&)> keep, const Clock& clock)
    : cache_(cache), connection_(std::move(connection)), keep_(std::move(keep)), clock_(clock) {
  if (const auto view = cache_.view()) kept_version_ = view->version;
  thread_ = std::thread([this] { Run(); });
}

SvidRenewer::~SvidRenewer() {
  Stop();
  thread_.join();
}

void SvidRenewer::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
  changed_.Ring();
}

void SvidRenewer::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  changed_.Ring();
}

void SvidRenewer::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      woken_ = false;
    }
    RenewDue();
    KeepIfChanged(false);
    WaitForWork();
  }
  KeepIfChanged(true);
}

void SvidRenewer::WaitForWork() {
  absl::Duration wait = kLongestWait;
  if (connection_.current() != nullptr) wait = std::min(wait, cache_.NextDue() - clock_.Now());
  const auto view = cache_.view();
  if (view != nullptr && view->version != kept_version_) wait = std::min(wait, kKeepInterval);
  absl::MutexLock lock(&mutex_);
  const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || woken_; };
  changed_.AwaitFor(mutex_, wait, something);
}

void SvidRenewer::RenewDue() {
  // A failed task is due again only after its backoff, so this ends.
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    const std::shared_ptr<AuthorityClient> client = connection_.current();
    if (client == nullptr) return;
    const std::vector<SvidCache::Task> tasks = cache_.TakeDue(AuthorityClient::kMaxSignBatch);
    if (tasks.empty()) return;
    Ask(*client, client, tasks);
    cache_.Publish();
    KeepIfChanged(false);
  }
}

void SvidRenewer::Ask(AuthorityClient& client, const std::shared_ptr<AuthorityClient>& shared,
                      const std::vector<SvidCache::Task>& tasks) {
  std::vector<Prepared> prepared;
  std::vector<AuthorityClient::SignRequest> requests;
  for (const SvidCache::Task& task : tasks) {
    absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyType::kEcP256);
    absl::StatusOr<std::string> csr = key.ok() ? Csr::Create(*key) : key.status();
    if (!csr.ok()) {
      cache_.Fail(task);
      Report(task, csr.status());
      continue;
    }
    requests.push_back({task.entry->id, *std::move(csr)});
    prepared.push_back({task, *std::move(key)});
  }
  if (requests.empty()) return;
  absl::StatusOr<std::vector<AuthorityClient::Signed>> results = client.SignX509Svids(requests, kCallTimeout);
  if (!results.ok()) {
    for (const Prepared& one : prepared) cache_.Fail(one.task);
    failed_ += prepared.size();
    // Cancelled: the connection was replaced by a newer one, over which they are asked for in a moment.
    Log(absl::IsCancelled(results.status()) ? LogLevel::kDebug : LogLevel::kWarning, "SVIDs not renewed",
        {{"svids", prepared.size()}, {"error", results.status()}});
    if (SaysConnectionIsBroken(results.status())) connection_.broken(shared, results.status());
    return;
  }
  for (size_t i = 0; i < prepared.size(); ++i) {
    AuthorityClient::Signed& signed_chain = (*results)[i];
    absl::StatusOr<X509Svid> svid =
        signed_chain.ok() ? X509Svid::Create(*std::move(signed_chain), std::move(prepared[i].key))
                          : absl::StatusOr<X509Svid>(signed_chain.status());
    if (svid.ok()) {
      Report(prepared[i].task, cache_.Succeed(prepared[i].task, *std::move(svid)));
    } else {
      cache_.Fail(prepared[i].task);
      Report(prepared[i].task, svid.status());
    }
  }
}

void SvidRenewer::Report(const SvidCache::Task& task, const absl::Status& status) {
  ++(status.ok() ? renewed_ : failed_);
  const std::string& id = task.entry->spiffe_id.ToString();
  if (status.ok()) {
    Log(LogLevel::kDebug, "SVID renewed", {{"entry", task.entry->id}, {"spiffe_id", id}});
  } else {
    Log(LogLevel::kWarning, "SVID not renewed", {{"entry", task.entry->id}, {"spiffe_id", id}, {"error", status}});
  }
}

void SvidRenewer::KeepIfChanged(bool now) {
  const auto view = cache_.view();
  if (view == nullptr || view->version == kept_version_) return;
  if (!now && clock_.Monotonic() - kept_at_ < kKeepInterval) return;
  kept_at_ = clock_.Monotonic();
  const absl::Status kept = keep_(cache_.Keep());
  const bool failed_before = std::exchange(keep_failed_, !kept.ok());
  if (kept.ok()) {
    kept_version_ = view->version;
    if (failed_before) Log(LogLevel::kInfo, "workloads are kept for a restart again", {});
  } else if (!failed_before) {
    Log(LogLevel::kError, "workloads not kept for a restart; free space or mend data_dir, it is tried every second",
        {{"error", kept}});
  }
}

}  // namespace lanyard
