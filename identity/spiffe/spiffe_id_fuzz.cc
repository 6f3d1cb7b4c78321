// Whatever the bytes: an ID that is accepted is spelled as given and put together from its parts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "identity/spiffe/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto id = lanyard::SpiffeId::Parse(text);
  if (!id.ok()) {
    if (!absl::IsInvalidArgument(id.status()) || id.status().message().empty()) abort();
    return 0;
  }
  if (id->ToString() != text || size > lanyard::SpiffeId::kMaxSizeBytes) abort();
  const auto again = lanyard::SpiffeId::FromParts(id->trust_domain(), id->path());
  if (!again.ok() || *again != *id) abort();
  for (char c : text) {
    if (c == '%' || c == '?' || c == '#' || c <= ' ' || c > '~') abort();
  }
  return 0;
}
