// Verification of a peer's X.509-SVID (X509-SVID section 5). Pure: time is an argument.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Why an SVID was refused. Each has one snake_case name for logs and metrics.
enum class SvidDefect {
  kNone,
  kMalformed,            // not a certificate, or an empty chain
  kNoSpiffeId,           // no URI SAN, or not a SPIFFE ID with a path
  kSeveralUriNames,      // more than one URI SAN
  kCaAsLeaf,             // cA true, keyCertSign or cRLSign on the leaf
  kBadKeyUsage,          // key usage absent, not critical, without digitalSignature; or EKU without both purposes
  kWeakKey,
  kUnknownTrustDomain,   // no bundle for the SVID's own trust domain
  kNotYetValid,
  kExpired,
  kUntrusted,            // no path to the bundle: signature, issuer, path length, name constraints...
};
absl::string_view SvidDefectName(SvidDefect defect);

// A status that carries `defect` as a payload; and the payload back (kNone without one).
absl::Status SvidError(SvidDefect defect, absl::string_view message);
SvidDefect DefectOf(const absl::Status& status);

// What verification proved.
struct VerifiedSvid {
  SpiffeId id;
  std::string serial;             // of the leaf, lower-case hex
  absl::Time leaf_not_after;
  // Earliest not_after (latest not_before) along the path used, leaf and anchor included: the proof holds between them.
  absl::Time not_before;
  absl::Time not_after;
};

// `chain` is what the peer sent, leaf first, in any order after it. Checks the leaf rules, picks the
// bundle of the leaf's own trust domain, and builds and validates an RFC 5280 path
// from the leaf through the peer's intermediates to one of that bundle's authorities at `now`.
// Errors carry a SvidDefect and name the peer's ID once it is known.
absl::StatusOr<VerifiedSvid> VerifySvid(absl::Span<const Certificate> chain, const BundleSet& bundles, absl::Time now);

}  // namespace lanyard
