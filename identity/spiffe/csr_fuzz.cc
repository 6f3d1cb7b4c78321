// Whatever the bytes: a CSR is refused with a reason, or its key is strong.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "identity/spiffe/csr.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto csr = lanyard::Csr::Parse(absl::MakeConstSpan(data, size));
  if (!csr.ok()) {
    if (!absl::IsInvalidArgument(csr.status()) || csr.status().message().empty()) abort();
    return 0;
  }
  if (!lanyard::CheckPublicKeyStrength(csr->public_key()).ok() || csr->public_key_der().empty()) abort();
  return 0;
}
