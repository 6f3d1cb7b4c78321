#include "proxy/connection/proxy_header.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

// Version 1 (section 2.1): a line of text.
constexpr absl::string_view kTextStart = "PROXY ";
constexpr absl::string_view kTextEnd = "\r\n";
constexpr absl::string_view kTextUnknown = "PROXY UNKNOWN";
constexpr absl::string_view kTextIpv4 = "PROXY TCP4 ";
constexpr absl::string_view kTextIpv6 = "PROXY TCP6 ";
constexpr size_t kMostTextBytes = 107;
constexpr size_t kLeastTextBytes = sizeof("PROXY UNKNOWN\r\n") - 1;
constexpr size_t kLeastIpv4Bytes = sizeof("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n") - 1;
constexpr size_t kLeastIpv6Bytes = sizeof("PROXY TCP6 :: :: 0 0\r\n") - 1;

// Version 2 (section 2.2): signature, version and command, family and protocol, length of the rest.
constexpr absl::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixedBytes = 16;
constexpr uint8_t kVersion2 = 0x20, kLocal = 0x20, kProxy = 0x21;
constexpr uint8_t kUnspecified = 0x00, kTcp4 = 0x11, kTcp6 = 0x21, kUnixStream = 0x31;
constexpr uint8_t kCrc32cTlv = 0x03, kSslTlv = 0x20, kSslVersionTlv = 0x21;
constexpr uint8_t kClientSsl = 0x01, kClientCertSession = 0x04;
constexpr size_t kTlvHeadBytes = 3, kCrc32cBytes = 4, kPortBytes = 2;

absl::string_view AsText(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the PROXY protocol header is malformed: ", what));
}

size_t Number16(absl::Span<const uint8_t> bytes, size_t at) { return size_t{bytes[at]} << 8 | bytes[at + 1]; }

// CRC32C (RFC 4960 appendix B), reflected.
constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78 : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

// Of `header`, with zeros for the checksum itself, which stands at `checksum_at`.
uint32_t Crc32c(absl::Span<const uint8_t> header, size_t checksum_at) {
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 0; i < header.size(); ++i) {
    const bool own = i >= checksum_at && i < checksum_at + kCrc32cBytes;
    crc = crc >> 8 ^ kCrcTable[(crc ^ (own ? 0 : header[i])) & 0xFF];
  }
  return ~crc;
}

uint32_t Number32(absl::Span<const uint8_t> bytes, size_t at) {
  return static_cast<uint32_t>(Number16(bytes, at) << 16 | Number16(bytes, at + 2));
}

absl::StatusOr<size_t> MissingOfText(absl::string_view text) {
  const size_t end = text.find(kTextEnd);
  if (end != absl::string_view::npos) {
    if (end + kTextEnd.size() == text.size()) return size_t{0};
    return Malformed("the line of version 1 ends too early");
  }
  const size_t least = absl::StartsWith(text, kTextIpv4)   ? kLeastIpv4Bytes
                       : absl::StartsWith(text, kTextIpv6) ? kLeastIpv6Bytes
                                                           : kLeastTextBytes;
  size_t missing = absl::EndsWith(text, "\r") ? 1 : 2;
  if (text.size() < least) missing = std::max(missing, least - text.size());
  if (text.size() + missing > kMostTextBytes) {
    return Malformed(absl::StrCat("the line of version 1 is longer than ", kMostTextBytes, " bytes"));
  }
  return missing;
}

absl::StatusOr<size_t> MissingOfBinary(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < kFixedBytes) return kFixedBytes - bytes.size();
  const size_t whole = kFixedBytes + Number16(bytes, 14);
  if (whole > kMostProxyHeaderBytes) {
    return Malformed(absl::StrCat("it is of ", whole, " bytes, and more than ", kMostProxyHeaderBytes, " are refused"));
  }
  if (bytes.size() > whole) return Malformed("bytes follow it");
  return whole - bytes.size();
}

// `host` has no port, and no brackets.
absl::StatusOr<SocketAddress> AddressOfText(absl::string_view host, absl::string_view port, bool ipv4) {
  if (host.empty() || host.find_first_of("[]") != absl::string_view::npos ||
      (host.find(':') == absl::string_view::npos) != ipv4) {
    return Malformed("an address is not of the family it names");
  }
  absl::StatusOr<SocketAddress> address =
      SocketAddress::Parse(ipv4 ? absl::StrCat(host, ":", port) : absl::StrCat("[", host, "]:", port));
  if (!address.ok()) return Malformed("an address or a port is not one");
  return address;
}

absl::StatusOr<ProxyHeader> ParseText(absl::string_view text) {
  text.remove_suffix(kTextEnd.size());
  // What may follow UNKNOWN is to be ignored.
  if (text == kTextUnknown || absl::StartsWith(text, absl::StrCat(kTextUnknown, " "))) return ProxyHeader{};
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) {
    return Malformed("the line of version 1 is none of TCP4, TCP6 and UNKNOWN");
  }
  const bool ipv4 = words[1] == "TCP4";
  const absl::StatusOr<SocketAddress> source = AddressOfText(words[2], words[4], ipv4);
  if (!source.ok()) return source.status();
  const absl::StatusOr<SocketAddress> destination = AddressOfText(words[3], words[5], ipv4);
  if (!destination.ok()) return destination.status();
  return ProxyHeader{ProxyHeader::Ends{*source, *destination}};
}

SocketAddress AddressOfBytes(absl::Span<const uint8_t> host, absl::Span<const uint8_t> port) {
  sockaddr_storage storage{};
  if (host.size() == 4) {
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
    ipv4->sin_family = AF_INET;
    std::copy(host.begin(), host.end(), reinterpret_cast<uint8_t*>(&ipv4->sin_addr));
    std::copy(port.begin(), port.end(), reinterpret_cast<uint8_t*>(&ipv4->sin_port));
  } else {
    auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
    ipv6->sin6_family = AF_INET6;
    std::copy(host.begin(), host.end(), ipv6->sin6_addr.s6_addr);
    std::copy(port.begin(), port.end(), reinterpret_cast<uint8_t*>(&ipv6->sin6_port));
  }
  return SocketAddress::FromSockaddr(storage);
}

// Both hosts, then both ports (section 2.2).
ProxyHeader::Ends EndsOfBytes(absl::Span<const uint8_t> addresses, size_t host_bytes) {
  const size_t ports = 2 * host_bytes;
  return {AddressOfBytes(addresses.subspan(0, host_bytes), addresses.subspan(ports, kPortBytes)),
          AddressOfBytes(addresses.subspan(host_bytes, host_bytes), addresses.subspan(ports + kPortBytes, kPortBytes))};
}

// They begin at `at` and must fill the header to its end.
absl::Status CheckTlvs(absl::Span<const uint8_t> header, size_t at) {
  bool checked = false;
  while (at < header.size()) {
    if (header.size() - at < kTlvHeadBytes) return Malformed("a TLV is cut off");
    const size_t size = Number16(header, at + 1), value = at + kTlvHeadBytes;
    if (size > header.size() - value) return Malformed("a TLV is cut off");
    if (header[at] == kCrc32cTlv) {
      if (size != kCrc32cBytes || checked) return Malformed("its CRC32C is not one of 4 bytes");
      if (Number32(header, value) != Crc32c(header, value)) return Malformed("its CRC32C is wrong");
      checked = true;
    }
    at = value + size;
  }
  return absl::OkStatus();
}

absl::StatusOr<ProxyHeader> ParseBinary(absl::Span<const uint8_t> header) {
  if (header[12] == kLocal) return ProxyHeader{};  // the rest is to be discarded
  if (header[12] != kProxy) return Malformed("its command is neither LOCAL nor PROXY");
  size_t host_bytes = 0, address_bytes = 0;
  switch (header[13]) {
    case kUnspecified: break;
    case kTcp4: host_bytes = 4; break;
    case kTcp6: host_bytes = 16; break;
    case kUnixStream: address_bytes = 216; break;
    default: return Malformed("it speaks of something else than a stream over IPv4, IPv6 or a Unix socket");
  }
  if (host_bytes > 0) address_bytes = 2 * (host_bytes + kPortBytes);
  if (header.size() - kFixedBytes < address_bytes) return Malformed("its addresses are cut off");
  if (const absl::Status tlvs = CheckTlvs(header, kFixedBytes + address_bytes); !tlvs.ok()) return tlvs;
  if (host_bytes == 0) return ProxyHeader{};
  return ProxyHeader{EndsOfBytes(header.subspan(kFixedBytes, address_bytes), host_bytes)};
}

// Writing.

void Put16(std::string& out, size_t number) {
  out.push_back(static_cast<char>(number >> 8));
  out.push_back(static_cast<char>(number));
}

void PutTlv(std::string& out, uint8_t type, absl::string_view value) {
  out.push_back(static_cast<char>(type));
  Put16(out, value.size());
  out.append(value.data(), value.size());
}

// IPv4 among IPv6 is written as IPv4-mapped.
std::string HostBytes(const SocketAddress& address, bool as_ipv4) {
  std::string bytes(AsText(address.host_bytes()));
  if (address.is_ipv4() && !as_ipv4) bytes.insert(0, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  return bytes;
}

std::string HostText(const SocketAddress& address, bool as_ipv4) {
  return absl::StrCat(address.is_ipv4() && !as_ipv4 ? "::ffff:" : "", address.HostString());
}

std::string SslTlvValue() {
  std::string value(1, static_cast<char>(kClientSsl | kClientCertSession));
  value.append(4, '\0');  // verified
  PutTlv(value, kSslVersionTlv, "TLSv1.3");
  return value;
}

}  // namespace

absl::StatusOr<size_t> MissingOfProxyHeader(absl::Span<const uint8_t> bytes) {
  const absl::string_view text = AsText(bytes);
  if (text.empty()) return std::min(kLeastTextBytes, kFixedBytes);
  if (absl::StartsWith(kTextStart, text.substr(0, kTextStart.size()))) return MissingOfText(text);
  if (!absl::StartsWith(kSignature, text.substr(0, kSignature.size())) ||
      (text.size() > kSignature.size() && (bytes[kSignature.size()] & 0xF0) != kVersion2)) {
    return absl::InvalidArgumentError("the first bytes are no PROXY protocol header, of version 1 or 2");
  }
  return MissingOfBinary(bytes);
}

absl::StatusOr<ProxyHeader> ParseProxyHeader(absl::Span<const uint8_t> bytes) {
  const absl::StatusOr<size_t> missing = MissingOfProxyHeader(bytes);
  if (!missing.ok()) return missing.status();
  if (*missing > 0) return Malformed("it is cut off");
  return absl::StartsWith(AsText(bytes), kTextStart) ? ParseText(AsText(bytes)) : ParseBinary(bytes);
}

std::string WriteProxyHeader(ProxyProtocol version, const SocketAddress& source, const SocketAddress& destination,
                             absl::string_view spiffe_id) {
  const bool ipv4 = source.is_ipv4() && destination.is_ipv4();
  if (version == ProxyProtocol::kV1) {
    return absl::StrCat(ipv4 ? kTextIpv4 : kTextIpv6, HostText(source, ipv4), " ", HostText(destination, ipv4), " ",
                        source.port(), " ", destination.port(), kTextEnd);
  }
  std::string rest = absl::StrCat(HostBytes(source, ipv4), HostBytes(destination, ipv4));
  Put16(rest, source.port());
  Put16(rest, destination.port());
  if (!spiffe_id.empty()) {
    PutTlv(rest, kSslTlv, SslTlvValue());
    PutTlv(rest, kSpiffeIdTlv, spiffe_id);
  }
  PutTlv(rest, kCrc32cTlv, absl::string_view("\0\0\0\0", kCrc32cBytes));
  std::string header(kSignature);
  header.push_back(static_cast<char>(kProxy));
  header.push_back(static_cast<char>(ipv4 ? kTcp4 : kTcp6));
  Put16(header, rest.size());
  header.append(rest);
  const size_t checksum_at = header.size() - kCrc32cBytes;
  const uint32_t crc =
      Crc32c({reinterpret_cast<const uint8_t*>(header.data()), header.size()}, checksum_at);
  header.resize(checksum_at);
  Put16(header, crc >> 16);
  Put16(header, crc & 0xFFFF);
  return header;
}

}  // namespace lanyard
