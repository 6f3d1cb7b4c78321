// The authority's own SVID and the bundles it verifies agents with, as the TLS context its server uses.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/authority/issuer.h"
#include "identity/base/clock.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"
#include "identity/tls/tls_context.h"

namespace lanyard {

// Not thread-safe; the schedule's. Borrows the issuer and clock.
class OwnIdentity {
 public:
  OwnIdentity(const Issuer& issuer, const Clock& clock);

  // A new context when there is none, the SVID is past half its life or not valid yet (the clock was ahead when it
  // was made), or `bundle` is another than before; null when the one given out last still holds. On an error the old
  // one still holds.
  absl::StatusOr<std::shared_ptr<const TlsContext>> Refresh(const X509Bundle& bundle);
  // When the SVID is past half its life.
  absl::Time NextRenewal() const;

 private:
  const Issuer& issuer_;
  const Clock& clock_;
  const std::shared_ptr<VerifyCache> cache_;
  std::optional<X509Svid> svid_;
  std::optional<X509Bundle> bundle_;
  absl::Time renew_at_ = absl::InfinitePast();
};

}  // namespace lanyard
