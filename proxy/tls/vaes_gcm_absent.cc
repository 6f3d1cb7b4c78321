// Instead of vaes_gcm.cc where its library is not linked: BoringSSL does everything.
#include <cstdlib>

#include "proxy/tls/vaes_gcm.h"

namespace lanyard {

bool VaesGcm::IsUsable() { return false; }
VaesGcm::VaesGcm(absl::Span<const uint8_t>) { abort(); }
VaesGcm::~VaesGcm() = default;
void VaesGcm::Seal(const uint8_t*, absl::Span<const uint8_t>, absl::Span<uint8_t>, uint8_t*) const { abort(); }
bool VaesGcm::Open(const uint8_t*, absl::Span<const uint8_t>, absl::Span<uint8_t>, const uint8_t*) const { abort(); }

}  // namespace lanyard
