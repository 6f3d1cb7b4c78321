// Keys that seal a server's session tickets: random, made by this process, never stored, one set a
// TLS context, so that a ticket opens only under the very identity and bundles it was sealed under.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <openssl/aead.h>
#include <openssl/base.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/base/clock.h"

namespace lanyard {

// Thread-safe. AES-256-GCM under a random nonce. A key seals for kRotation, and opens for as long
// again, which is longer than any ticket lives.
class TicketKeys {
 public:
  static constexpr absl::Duration kRotation = absl::Hours(2);
  static constexpr absl::Duration kTicketLifetime = absl::Hours(1);
  static constexpr size_t kNameSizeBytes = 16;
  static constexpr size_t kNonceSizeBytes = 12;
  static constexpr size_t kOverheadBytes = kNameSizeBytes + kNonceSizeBytes + 16;

  explicit TicketKeys(const Clock& clock);   // borrowed

  // `out` has room for in.size() + kOverheadBytes; the size written, or nothing on failure.
  std::optional<size_t> Seal(absl::Span<const uint8_t> in, absl::Span<uint8_t> out) const;
  // `out` has room for in.size(). Nothing: not one of our tickets, altered, or too old.
  std::optional<size_t> Open(absl::Span<const uint8_t> in, absl::Span<uint8_t> out) const;

 private:
  struct Key {
    uint8_t name[kNameSizeBytes];
    bssl::ScopedEVP_AEAD_CTX aead;
    absl::Duration made_at;
  };
  static std::shared_ptr<const Key> NewKey(absl::Duration now);
  std::shared_ptr<const Key> Current() const;
  std::shared_ptr<const Key> Named(absl::Span<const uint8_t> name) const;

  const Clock& clock_;
  mutable absl::Mutex mutex_;
  mutable std::shared_ptr<const Key> current_ ABSL_GUARDED_BY(mutex_);
  mutable std::shared_ptr<const Key> previous_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lanyard
