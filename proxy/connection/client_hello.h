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

// The same, for one who offers `protocol` by ALPN (RFC 7301): kNotTls otherwise, also for a ClientHello that
// is malformed or longer than a record. kNeedMore until its one record is complete.
SniffVerdict SniffTlsWithAlpn(absl::Span<const uint8_t> bytes, absl::string_view protocol);

}  // namespace lanyard
