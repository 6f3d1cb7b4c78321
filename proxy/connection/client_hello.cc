#include "proxy/connection/client_hello.h"

#include <cstddef>

namespace lanyard {
namespace {

constexpr size_t kRecordHeadBytes = 5;
constexpr size_t kMessageHeadBytes = 4;
constexpr size_t kMostRecordBytes = 16384;
constexpr uint16_t kAlpnExtension = 16;

// Reads big-endian fields; one that is not wholly there makes it fail for good.
class Cursor {
 public:
  explicit Cursor(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}
  bool failed() const { return failed_; }
  bool empty() const { return bytes_.empty(); }
  size_t Number(size_t size_bytes) {
    size_t value = 0;
    for (uint8_t byte : Bytes(size_bytes)) value = value << 8 | byte;
    return value;
  }
  absl::Span<const uint8_t> Bytes(size_t size_bytes) {
    if (failed_ || size_bytes > bytes_.size()) {
      failed_ = true;
      return {};
    }
    const absl::Span<const uint8_t> taken = bytes_.first(size_bytes);
    bytes_.remove_prefix(size_bytes);
    return taken;
  }
  // A vector with its length in `length_bytes` before it.
  Cursor Vector(size_t length_bytes) {
    Cursor inner(Bytes(Number(length_bytes)));
    inner.failed_ = failed_;
    return inner;
  }

 private:
  absl::Span<const uint8_t> bytes_;
  bool failed_ = false;
};

bool AlpnOffers(Cursor extension, absl::string_view protocol) {
  Cursor names = extension.Vector(2);
  while (!names.failed() && !names.empty()) {
    const absl::Span<const uint8_t> name = names.Bytes(names.Number(1));
    if (absl::string_view(reinterpret_cast<const char*>(name.data()), name.size()) == protocol) return true;
  }
  return false;
}

// RFC 8446 section 4.1.2.
bool HelloOffers(Cursor hello, absl::string_view protocol, NoAlpn without) {
  hello.Bytes(2 + 32);  // legacy_version, random
  hello.Vector(1);      // legacy_session_id
  hello.Vector(2);      // cipher_suites
  hello.Vector(1);      // legacy_compression_methods
  Cursor extensions = hello.Vector(2);
  while (!extensions.failed() && !extensions.empty()) {
    const size_t type = extensions.Number(2);
    const Cursor extension = extensions.Vector(2);
    if (type == kAlpnExtension) return !extension.failed() && AlpnOffers(extension, protocol);
  }
  return !extensions.failed() && without == NoAlpn::kIsTls;
}

}  // namespace

SniffVerdict SniffTls(absl::Span<const uint8_t> bytes) {
  constexpr uint8_t kHandshake = 22, kMajor = 3, kMostMinor = 4, kClientHello = 1;
  const auto at = [&bytes](size_t index) { return index < bytes.size(); };
  if (at(0) && bytes[0] != kHandshake) return SniffVerdict::kNotTls;
  if (at(1) && bytes[1] != kMajor) return SniffVerdict::kNotTls;
  if (at(2) && bytes[2] > kMostMinor) return SniffVerdict::kNotTls;
  if (at(4)) {
    const size_t size = static_cast<size_t>(bytes[3]) << 8 | bytes[4];
    if (size < kMessageHeadBytes || size > kMostRecordBytes) return SniffVerdict::kNotTls;
  }
  if (!at(5)) return SniffVerdict::kNeedMore;
  return bytes[5] == kClientHello ? SniffVerdict::kTls : SniffVerdict::kNotTls;
}

SniffVerdict SniffTlsWithAlpn(absl::Span<const uint8_t> bytes, absl::string_view protocol, NoAlpn without) {
  const SniffVerdict head = SniffTls(bytes);
  if (head != SniffVerdict::kTls) return head;
  const size_t record_bytes = static_cast<size_t>(bytes[3]) << 8 | bytes[4];
  if (bytes.size() < kRecordHeadBytes + record_bytes) return SniffVerdict::kNeedMore;
  Cursor record(bytes.subspan(kRecordHeadBytes, record_bytes));
  record.Number(1);
  const Cursor hello = record.Vector(3);
  return !hello.failed() && HelloOffers(hello, protocol, without) ? SniffVerdict::kTls : SniffVerdict::kNotTls;
}

}  // namespace lanyard
