#include "proxy/control/publisher.h"

#include <algorithm>
#include <utility>

#include "identity/base/logging.h"

namespace lanyard {

Publisher::Publisher(std::vector<WorkerHandle*> workers, MeshRules rules, const Clock& clock)
    : workers_(std::move(workers)), clock_(clock), rules_(std::move(rules)) {}

void Publisher::SetTls(std::shared_ptr<const TlsContext> tls, bool withdrawn) {
  tls_ = std::move(tls);
  withdrawn_ = withdrawn;
  Publish();
}

void Publisher::SetRules(MeshRules rules) {
  rules_ = std::move(rules);
  Publish();
}

void Publisher::Publish() {
  if (tls_ == nullptr) return;
  auto view = std::make_shared<MeshView>();
  static_cast<MeshRules&>(*view) = rules_;
  view->version = ++version_;
  view->tls = tls_;
  view->identity_withdrawn = withdrawn_;
  published_at_ = clock_.Monotonic();
  for (WorkerHandle* worker : workers_) worker->Publish(view);
  Log(LogLevel::kDebug, "view published", {{"version", version_}});
}

bool Publisher::CollectAcknowledgements() {
  uint64_t oldest = version_;
  for (const WorkerHandle* worker : workers_) oldest = std::min(oldest, worker->acknowledged_version());
  if (oldest == acknowledged_) return acknowledged_ != version_;
  acknowledged_ = oldest;
  if (acknowledged_ != version_) return true;
  delay_ = clock_.Monotonic() - published_at_;
  Log(LogLevel::kDebug, "view acknowledged",
      {{"version", acknowledged_}, {"delay_ms", absl::ToDoubleMilliseconds(delay_)}});
  return false;
}

}  // namespace lanyard
