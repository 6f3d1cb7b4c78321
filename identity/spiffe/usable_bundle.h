// A bundle as another party publishes it: what can be used of it is taken, and what cannot is left out and named. One
// odd certificate of a foreign trust domain must not cost a workload its own identity, nor the rest of that bundle
// (SPIFFE Trust Domain and Bundle 4.1.3: what is not understood is ignored).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

struct UsableBundle {
  static constexpr size_t kMaxRead = 256;   // authorities looked at, of which X509Bundle::kMaxAuthorities are taken

  X509Bundle bundle;
  std::vector<std::string> left_out;   // of what was not taken: why; at most kMaxRead + 1
};

// Concatenated DER, as in the Workload API. May be empty, as X509Bundle may. InvalidArgument: it cannot be taken apart
// into certificates. FailedPrecondition: it holds some and none can be used.
absl::StatusOr<UsableBundle> ReadUsableBundleDer(const TrustDomain& trust_domain, absl::Span<const uint8_t> der);

// The CERTIFICATE blocks of PEM text. InvalidArgument: no such block, or one that is broken. FailedPrecondition: none
// can be used.
absl::StatusOr<UsableBundle> ReadUsableBundlePem(const TrustDomain& trust_domain, absl::string_view pem);

}  // namespace lanyard
