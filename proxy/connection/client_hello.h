// What a caller's first bytes say: TLS or not, and whether it speaks the mesh's protocol. Pure.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

enum class SniffVerdict {
  kNeedMore,
  kNotTls,
  kTls,
};

// Whether the bytes begin a TLS ClientHello, by the record's and the handshake message's heads
// (RFC 8446 sections 5.1 and 4); six bytes decide.
SniffVerdict SniffTls(absl::Span<const uint8_t> bytes);

// Whether an ALPN list (RFC 7301) must be there for SniffTlsWithAlpn.
enum class NoAlpn { kIsTls, kIsNot };

// The same, for one who offers `protocol` by ALPN, or, by `without`, who offers nothing by ALPN at all:
// kNotTls otherwise, also for a ClientHello that is malformed or longer than a record. kNeedMore until its
// one record is complete.
SniffVerdict SniffTlsWithAlpn(absl::Span<const uint8_t> bytes, absl::string_view protocol, NoAlpn without);

}  // namespace lanyard
