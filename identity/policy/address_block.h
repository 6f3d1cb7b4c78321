// A block of IPv4 or IPv6 addresses, as a value. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

// "10.0.0.0/8", "fd00::/64", or an address alone (a /32 or /128). Host bits
// must be zero. IPv4 has one spelling: IPv4-mapped IPv6 is refused.
class AddressBlock {
 public:
  // InvalidArgument names the text and says how such a block is written.
  static absl::StatusOr<AddressBlock> Parse(absl::string_view text);
  // `address` in network order: 4 bytes of IPv4 or 16 of IPv6; of any other
  // length nothing is contained.
  bool Contains(absl::Span<const uint8_t> address) const;
  const std::string &ToString() const { return text_; }
  friend bool operator==(const AddressBlock &a, const AddressBlock &b) { return a.text_ == b.text_; }

 private:
  AddressBlock() = default;
  std::string text_;
  size_t size_bytes_ = 0;  // of an address: 4 or 16
  uint8_t network_[16] = {};
  size_t prefix_bits_ = 0;
};

}  // namespace lanyard
