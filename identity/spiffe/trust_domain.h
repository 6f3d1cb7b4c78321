// A SPIFFE trust domain name (SPIFFE-ID section 2.1): the part of a SPIFFE ID after
// "spiffe://", such as "example.org". A value; exists only by parsing, cannot be wrong.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

class TrustDomain {
 public:
  static constexpr size_t kMaxSizeBytes = 255;

  // `name` is lower-case letters, digits, '.', '-', '_'; 1 to 255 bytes. Upper case, a
  // port, user info or percent-encoding are errors (InvalidArgument), never normalised.
  static absl::StatusOr<TrustDomain> Parse(absl::string_view name);

  const std::string& name() const { return name_; }
  // "spiffe://" + name.
  std::string IdString() const;

  friend auto operator<=>(const TrustDomain&, const TrustDomain&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const TrustDomain& d) { return H::combine(std::move(h), d.name_); }

 private:
  explicit TrustDomain(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

}  // namespace lanyard
