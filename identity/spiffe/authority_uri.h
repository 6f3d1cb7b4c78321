// What SPIFFE ID a certificate that signs may carry: its trust domain's, which has no path (X509-SVID 3.2).
#pragma once

#include <string>

#include "identity/spiffe/certificate.h"

namespace lanyard {

// The first URI of `authority` that begins as a SPIFFE ID and is none, or has a path; null if there is no such. Here,
// and not in a leaf, "spiffe://td/" has none: the standard's own example of a root is written so (Trust Domain and
// Bundle, appendix A). Borrowed from `authority`.
const std::string* UnfitAuthorityUri(const Certificate& authority);

}  // namespace lanyard
