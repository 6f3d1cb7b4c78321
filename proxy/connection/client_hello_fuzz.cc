// However the bytes come in pieces, a verdict never changes once given, and alone decides.
#include <cstdint>
#include <cstdlib>

#include "proxy/connection/client_hello.h"

namespace {

void CheckPrefixes(absl::Span<const uint8_t> bytes, lanyard::SniffVerdict (*sniff)(absl::Span<const uint8_t>)) {
  const lanyard::SniffVerdict whole = sniff(bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const lanyard::SniffVerdict part = sniff(bytes.first(size));
    if (part != lanyard::SniffVerdict::kNeedMore && part != whole) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const uint8_t> bytes(data, size);
  CheckPrefixes(bytes, lanyard::SniffTls);
  CheckPrefixes(bytes, [](absl::Span<const uint8_t> part) {
    return lanyard::SniffTlsWithAlpn(part, "lanyard/1", lanyard::NoAlpn::kIsNot);
  });
  CheckPrefixes(bytes, [](absl::Span<const uint8_t> part) {
    return lanyard::SniffTlsWithAlpn(part, "lanyard/1", lanyard::NoAlpn::kIsTls);
  });
  return 0;
}
