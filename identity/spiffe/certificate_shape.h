// How much there may be in a certificate, counted before anything is built of it: a certificate comes from a peer
// that has proved nothing yet, and BoringSSL makes of some of its parts far more than their bytes. The worst is a
// distribution point relative to the issuer's name: each gets a copy of that whole name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace lanyard {

struct CertificateShape {
  static constexpr size_t kMaxElements = 2048;         // ASN.1 elements at any depth, of what BoringSSL decodes
  static constexpr int kMaxDepth = 24;
  static constexpr size_t kMaxNameBytes = 2048;        // issuer; subject
  static constexpr size_t kMaxNameAttributes = 64;     // issuer; subject
  static constexpr size_t kMaxExtensions = 64;
  static constexpr size_t kMaxAlternativeNames = 256;  // subjectAltName
  static constexpr size_t kMaxPurposes = 64;           // extended key usage
  static constexpr size_t kMaxDistributionPoints = 32; // cRLDistributionPoints; freshestCRL
  static constexpr size_t kMaxNameConstraints = 256;   // permitted and excluded subtrees together
};

// `der`: one certificate. Reads it once, allocates nothing. InvalidArgument says what there is too much of, that a
// distribution point has nameRelativeToCRLIssuer (which RFC 5280 4.2.1.13 advises against), or that it is not DER.
// Says nothing else of its content.
absl::Status CheckCertificateShape(absl::Span<const uint8_t> der);

}  // namespace lanyard
