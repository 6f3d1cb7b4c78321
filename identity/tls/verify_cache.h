// Verified chains by content, so that a peer seen before costs a hash, not signatures.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <openssl/pool.h>
#include <openssl/stack.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/verify.h"

namespace lanyard {

// Thread-safe; shared by all contexts of a process. Keyed by SHA-256 over the chain's bytes and the
// bundle version; validity is checked against the clock on every hit; at most `max_entries`, least
// recently used out first. Failures are not cached: a refused peer pays for its own refusal.
class VerifyCache {
 public:
  static constexpr size_t kDefaultMaxEntries = 4096;
  explicit VerifyCache(size_t max_entries = kDefaultMaxEntries);
  ~VerifyCache();

  // VerifySvid of `chain` (leaf first, as the peer sent it) against `bundles`, whose ContentVersion is
  // `bundle_version`. Errors carry a SvidDefect; no chain at all is kMalformed.
  absl::StatusOr<std::shared_ptr<const VerifiedSvid>> Verify(const STACK_OF(CRYPTO_BUFFER)* chain,
                                                             const BundleSet& bundles,
                                                             const std::string& bundle_version, absl::Time now);
  struct Stats {
    uint64_t hits = 0, misses = 0, evictions = 0;
  };
  Stats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
