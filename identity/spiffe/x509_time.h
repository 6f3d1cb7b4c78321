// Times as certificates write them (RFC 5280 4.1.2.5).
#pragma once

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lanyard {

// UTCTime "YYMMDDHHMMSSZ" or GeneralizedTime "YYYYMMDDHHMMSSZ", nothing else: no fractions, no
// offsets, no missing seconds, no 30th of February. InvalidArgument shows what stands there.
absl::StatusOr<absl::Time> ParseX509Time(const ASN1_TIME* time);

}  // namespace lanyard
