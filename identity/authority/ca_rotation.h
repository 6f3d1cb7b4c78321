// The hierarchy in force: advanced when something is due, sealed, published, and only then used.
#pragma once

#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/authority/ca_hierarchy.h"
#include "identity/authority/ca_keys.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/registry/registry.h"

namespace lanyard {

// Step is for one thread; current() for any. Borrows the registry, clock and randomness.
class CaRotation {
 public:
  // Reads the sealed keys. FailedPrecondition when there are none although the registry names a root that is still
  // valid: then the keys were lost, and a new root made silently would cut off the whole trust domain.
  static absl::StatusOr<std::unique_ptr<CaRotation>> Open(CaKeys keys, CaLifetimes lifetimes, Registry& registry,
                                                          const Clock& clock, Random& random);

  // Does what is due and says when to come again. The order survives a crash between any two steps: keys sealed and
  // durable, then registry rows and bundle, then in use. On an error what was in force stays in force.
  absl::StatusOr<absl::Time> Step();

  // What signs now; never null, without a signer before the first Step.
  std::shared_ptr<const CaHierarchy> current() const;

 private:
  CaRotation(CaKeys keys, CaHierarchy hierarchy, Registry& registry, const Clock& clock, Random& random);
  CaKeys keys_;
  Registry& registry_;
  const Clock& clock_;
  Random& random_;
  mutable std::mutex mutex_;  // guards current_
  std::shared_ptr<const CaHierarchy> current_;
};

}  // namespace lanyard
