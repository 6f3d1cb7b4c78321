#include "identity/policy/address_block.h"

#include <arpa/inet.h>

#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Digits only: no sign, no space, no leading zero that another reader might
// take for octal.
std::optional<size_t> ParseLength(absl::string_view text, size_t maximum) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  uint32_t length = 0;
  if (!absl::SimpleAtoi(text, &length) || length > maximum) return std::nullopt;
  return length;
}

}  // namespace

absl::StatusOr<AddressBlock> AddressBlock::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  const bool ipv4 = host.find(':') == std::string::npos;
  AddressBlock block;
  block.text_ = std::string(text);
  block.size_bytes_ = ipv4 ? 4 : 16;
  const size_t address_bits = block.size_bytes_ * 8;
  std::optional<size_t> bits = address_bits;
  if (slash != absl::string_view::npos) bits = ParseLength(text.substr(slash + 1), address_bits);
  // A NUL would end the text for inet_pton before it ends for us.
  if (!bits.has_value() || host.find('\0') != std::string::npos ||
      inet_pton(ipv4 ? AF_INET : AF_INET6, host.c_str(), block.network_) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text,
                                                   "\" is not a block of addresses; write 10.0.0.0/8, "
                                                   "fd00::/64 or one address"));
  }
  if (!ipv4 && std::memcmp(block.network_, kMappedPrefix, sizeof(kMappedPrefix)) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is an IPv4 address in IPv6 spelling; write it as IPv4"));
  }
  block.prefix_bits_ = *bits;
  for (size_t bit = *bits; bit < address_bits; ++bit) {
    if (block.network_[bit / 8] & (0x80 >> (bit % 8))) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\" has bits set after its first ", *bits, "; clear them or write a longer prefix"));
    }
  }
  return block;
}

bool AddressBlock::Contains(absl::Span<const uint8_t> address) const {
  if (address.size() != size_bytes_) return false;
  const size_t whole_bytes = prefix_bits_ / 8;
  if (std::memcmp(address.data(), network_, whole_bytes) != 0) return false;
  const size_t rest_bits = prefix_bits_ % 8;
  if (rest_bits == 0) return true;
  const uint8_t mask = static_cast<uint8_t>(0xff << (8 - rest_bits));
  return (address[whole_bytes] & mask) == network_[whole_bytes];
}

}  // namespace lanyard
