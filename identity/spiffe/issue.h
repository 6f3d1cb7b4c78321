// Making certificates: what the authority signs, as pure functions of key, time and serial.
#pragma once

#include <string>
#include <vector>

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/random.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// A signing certificate with its key: root or intermediate.
struct SigningAuthority {
  Certificate certificate;
  PrivateKey key;
};

// Self-signed: cA, critical keyCertSign|cRLSign, URI SAN = the trust domain's ID, SKI, 128-bit
// random serial, subject O=trust domain, CN=serial so that two roots never share a name.
absl::StatusOr<SigningAuthority> CreateRoot(const TrustDomain& trust_domain, const PrivateKey& key,
                                            absl::Time not_before, absl::Time not_after, Random& random);

// Signed by `issuer`, pathLenConstraint 0, AKI; not_after is capped at the issuer's.
absl::StatusOr<SigningAuthority> CreateIntermediate(const SigningAuthority& issuer, const TrustDomain& trust_domain,
                                                    const PrivateKey& key, absl::Time not_before,
                                                    absl::Time not_after, Random& random);

struct LeafRequest {
  SpiffeId id;                          // must have a path and the issuer's trust domain
  EVP_PKEY* public_key;                 // borrowed
  absl::Time not_before;
  absl::Time not_after;                 // capped at the issuer's
  std::vector<std::string> dns_names;   // optional
};

// An X.509-SVID by X509-SVID section 4: one URI SAN (critical, as the subject is empty), critical
// digitalSignature, both EKUs, cA false, SKI, AKI, 128-bit random serial. not_before is not before
// the issuer's. InvalidArgument: another trust domain, no path, a weak key; FailedPrecondition: the
// capped lifetime is empty, as when the issuer has expired.
absl::StatusOr<Certificate> SignLeaf(const SigningAuthority& issuer, const LeafRequest& request, Random& random);

}  // namespace lanyard
