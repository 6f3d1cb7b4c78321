// What AES-128-GCM costs without anything around it: the part of a TLS record that no proxy can leave out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanyard::bench {

// CPU of this thread, in nanoseconds, to seal one TLS 1.3 record of `plaintext_bytes` and to open it again, as
// Lanyard does (RecordAead); the mean over at least `least_ns` of work. Dies if what was opened is not what was
// sealed. `plaintext_bytes`: at most 16384 (RFC 8446 section 5.1).
double SealAndOpenNs(size_t plaintext_bytes, uint64_t least_ns);

}  // namespace lanyard::bench
