// Whoever reads only what is missing stops at the header's end; what is taken from a header can be written, and read
// again as the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/connection/proxy_header.h"

namespace {

// How many of `bytes` are the header; 0 if they begin with none.
size_t HeaderSize(absl::Span<const uint8_t> bytes) {
  for (size_t taken = 0;;) {
    const absl::StatusOr<size_t> missing = lanyard::MissingOfProxyHeader(bytes.first(taken));
    if (!missing.ok()) return 0;
    if (*missing == 0) return taken;
    taken += *missing;
    if (taken > lanyard::kMostProxyHeaderBytes) abort();
    if (taken > bytes.size()) return 0;
  }
}

void CheckWritten(lanyard::ProxyProtocol version, const lanyard::ProxyHeader::Ends& ends) {
  const std::string text = lanyard::WriteProxyHeader(version, ends.source, ends.destination, "spiffe://td/a");
  const auto again = lanyard::ParseProxyHeader({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  if (!again.ok() || !again->ends.has_value()) abort();
  if (!(again->ends->source == ends.source) || !(again->ends->destination == ends.destination)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const size_t header = HeaderSize({data, size});
  if (header == 0) {
    (void)lanyard::ParseProxyHeader({data, size}).ok();
    return 0;
  }
  const absl::StatusOr<lanyard::ProxyHeader> parsed = lanyard::ParseProxyHeader({data, header});
  if (!parsed.ok() || !parsed->ends.has_value()) return 0;
  CheckWritten(lanyard::ProxyProtocol::kV1, *parsed->ends);
  CheckWritten(lanyard::ProxyProtocol::kV2, *parsed->ends);
  return 0;
}
