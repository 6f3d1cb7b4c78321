// Whatever a peer that has the keys puts into its records, opening them gives its data back or a verdict, and whoever
// has no keys is refused.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "proxy/tls/tls_records.h"

namespace lanyard {
namespace {

constexpr uint16_t kAes128 = 0x1301;

void Check(bool right) {
  if (!right) abort();
}

std::unique_ptr<TlsRecords> Make(bool is_server) {
  const std::vector<uint8_t> to_server(32, 1), to_client(32, 2);
  return is_server ? TlsRecords::Create(kAes128, true, to_server, to_client)
                   : TlsRecords::Create(kAes128, false, to_client, to_server);
}

// Type, length, content; and again.
void OpenWhatIsSealed(absl::Span<const uint8_t> bytes, bool to_server) {
  const std::unique_ptr<TlsRecords> from = Make(!to_server), to = Make(to_server);
  std::vector<uint8_t> wire(kMaxRecordBytes + TlsRecords::kMostBesideContent);
  while (bytes.size() >= 2) {
    const auto type = static_cast<TlsRecords::Type>(bytes[0]);
    const absl::Span<const uint8_t> content = bytes.subspan(2, bytes[1]);
    bytes.remove_prefix(2 + content.size());
    wire.resize(from->Seal(type, {}, content, wire.data()));
    Check(wire.size() == content.size() + TlsRecords::kOverheadBytes && TlsRecords::WireBytes(wire) == wire.size());
    const TlsRecords::Opened opened = to->Open(absl::MakeSpan(wire));
    const bool data = opened.kind == TlsRecords::Kind::kData;
    // A type of zero is padding: what it is, is then told by the content's end.
    if (type == TlsRecords::kData && data) Check(std::equal(content.begin(), content.end(), opened.data.begin()));
    if (type != TlsRecords::kData && type != 0) Check(!data);
    if (opened.kind != TlsRecords::Kind::kData && opened.kind != TlsRecords::Kind::kNothing) return;
    wire.resize(kMaxRecordBytes + TlsRecords::kMostBesideContent);
  }
}

void OpenForged(absl::Span<const uint8_t> bytes) {
  std::vector<uint8_t> record(bytes.begin(), bytes.end());
  Check(Make(true)->Open(absl::MakeSpan(record)).kind == TlsRecords::Kind::kBroken);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::OpenWhatIsSealed({data, size}, true);
  lanyard::OpenWhatIsSealed({data, size}, false);
  lanyard::OpenForged({data, size});
  return 0;
}
