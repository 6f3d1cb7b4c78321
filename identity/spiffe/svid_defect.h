// Why an X.509-SVID was refused, as one value for logs, metrics and tests.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

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

}  // namespace lanyard
