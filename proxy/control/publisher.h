// Builds the next MeshView from what is known and hands it to every worker.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "identity/tls/tls_context.h"
#include "proxy/control/worker_handle.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// On the control thread only. Borrows the workers and the clock.
class Publisher {
 public:
  Publisher(std::vector<WorkerHandle*> workers, MeshRules rules, const Clock& clock);

  // Each publishes version + 1 to every worker; rules without an identity wait for one, as a view
  // without an identity does not exist.
  void SetTls(std::shared_ptr<const TlsContext> tls, bool withdrawn = false);
  void SetRules(MeshRules rules);

  // Notes who has acknowledged since the last call, and logs it (debug). True while somebody has not.
  bool CollectAcknowledgements();

  // 0 before the first identity.
  uint64_t version() const { return version_; }
  // The newest version that every worker had acknowledged at the last CollectAcknowledgements.
  uint64_t acknowledged_version() const { return acknowledged_; }
  // From the newest publication until every worker acknowledged it, as far as
  // CollectAcknowledgements was called in time; zero before the first.
  absl::Duration acknowledgement_delay() const { return delay_; }

 private:
  void Publish();

  const std::vector<WorkerHandle*> workers_;
  const Clock& clock_;
  MeshRules rules_;
  std::shared_ptr<const TlsContext> tls_;
  bool withdrawn_ = false;
  uint64_t version_ = 0;
  uint64_t acknowledged_ = 0;
  absl::Duration published_at_;  // monotonic
  absl::Duration delay_;
};

}  // namespace lanyard
