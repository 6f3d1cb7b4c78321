// A SPIFFE ID (SPIFFE-ID section 2): "spiffe://" trust-domain path. A value; exists only
// by parsing, and is kept byte for byte as it was given: SPIFFE IDs have one spelling.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

class SpiffeId {
 public:
  static constexpr size_t kMaxSizeBytes = 2048;

  // Errors are InvalidArgument and say which rule was broken: scheme, trust domain, a
  // character outside [a-zA-Z0-9._-], an empty, "." or ".." segment, a trailing slash, a
  // query or fragment, more than 2048 bytes. An ID without a path is valid (it names the
  // trust domain, as a signing certificate does); see has_path().
  static absl::StatusOr<SpiffeId> Parse(absl::string_view uri);

  // `path` is empty or starts with '/'; the same rules.
  static absl::StatusOr<SpiffeId> FromParts(const TrustDomain& trust_domain, absl::string_view path);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  // "" or "/segment/...".
  absl::string_view path() const { return absl::string_view(text_).substr(path_offset_); }
  bool has_path() const { return path_offset_ < text_.size(); }
  const std::string& ToString() const { return text_; }

  friend bool operator==(const SpiffeId& a, const SpiffeId& b) { return a.text_ == b.text_; }
  friend auto operator<=>(const SpiffeId& a, const SpiffeId& b) { return a.text_ <=> b.text_; }
  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) { return H::combine(std::move(h), id.text_); }

 private:
  SpiffeId(std::string text, TrustDomain trust_domain, size_t path_offset)
      : text_(std::move(text)), trust_domain_(std::move(trust_domain)), path_offset_(path_offset) {}
  std::string text_;
  TrustDomain trust_domain_;
  size_t path_offset_;
};

}  // namespace lanyard
