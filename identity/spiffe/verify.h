// Verification of a peer's X.509-SVID (X509-SVID section 5). Pure: time is an argument.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/svid_defect.h"

namespace lanyard {

// What verification proved.
struct VerifiedSvid {
  SpiffeId id;
  std::string serial;             // of the leaf, lower-case hex
  absl::Time leaf_not_after;
  // Latest not_before and earliest not_after along the path used, leaf and anchor included: the
  // proof holds from not_before until just before not_after.
  absl::Time not_before;
  absl::Time not_after;
};

// At most this many certificates from the leaf to the anchor, both included.
inline constexpr int kMaxPathLength = 10;

// `chain` is what the peer sent, leaf first, in any order after it; certificates that are not
// needed are ignored, and where several share a name (cross-signed, or renewed) at most eight ways
// through them are tried. Checks the leaf rules, picks the bundle of the leaf's own trust domain, and
// builds and validates an RFC 5280 path from the leaf through the peer's intermediates to one of
// that bundle's authorities at `now`: signatures (none by MD5 or SHA-1), key strength, validity
// (of the anchor too), CA rules, path lengths, name constraints, unknown critical extensions, critical
// rules on certificate policies (which nobody processes).
// One signature check a certificate below the anchor; callers that see the same chain often keep
// the result.
// Errors carry a SvidDefect and name the peer's ID once it is known.
absl::StatusOr<VerifiedSvid> VerifySvid(absl::Span<const Certificate> chain, const BundleSet& bundles, absl::Time now);

}  // namespace lanyard
