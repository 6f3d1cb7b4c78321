// A selector: one fact about a workload that the agent can establish, such as "unix:uid:1000".
// A value; exists only by parsing.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

class Selector {
 public:
  static constexpr size_t kMaxSizeBytes = 4096 + 16;

  // "type:value", where the type is one of
  //   unix:uid, unix:gid, unix:supplementary_gid   a decimal number without leading zeros, below 2^32 - 1
  //   unix:user, unix:group                        a name of printable characters without blanks or ':'
  //   unix:path                                    an absolute path without empty, "." or ".." segments
  //   unix:sha256                                  64 lower-case hexadecimal digits
  // InvalidArgument is one sentence: the selector, what is wrong with it, what to write.
  static absl::StatusOr<Selector> Parse(absl::string_view text);

  // "unix:uid" and "1000".
  absl::string_view type() const { return absl::string_view(text_).substr(0, type_size_); }
  absl::string_view value() const { return absl::string_view(text_).substr(type_size_ + 1); }
  const std::string& ToString() const { return text_; }

  friend bool operator==(const Selector& a, const Selector& b) { return a.text_ == b.text_; }
  friend auto operator<=>(const Selector& a, const Selector& b) { return a.text_ <=> b.text_; }

 private:
  Selector(std::string text, size_t type_size) : text_(std::move(text)), type_size_(type_size) {}
  std::string text_;
  size_t type_size_;
};

}  // namespace lanyard
