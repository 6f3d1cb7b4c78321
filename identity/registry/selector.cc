#include "identity/registry/selector.h"

#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

// Each check returns what to write instead, or nothing when the value is well formed.
using ValueCheck = absl::string_view (*)(absl::string_view value);

absl::string_view CheckNumber(absl::string_view value) {
  constexpr absl::string_view kRemedy = "write a decimal number from 0 to 4294967294 without leading zeros";
  for (char c : value) {
    if (!absl::ascii_isdigit(c)) return kRemedy;
  }
  uint32_t number;
  if (!absl::SimpleAtoi(value, &number)) return kRemedy;
  // (uid_t)-1 means "no user" to the kernel and can belong to no process.
  if (number == std::numeric_limits<uint32_t>::max()) return kRemedy;
  return value.size() > 1 && value[0] == '0' ? kRemedy : "";
}

absl::string_view CheckName(absl::string_view value) {
  constexpr absl::string_view kRemedy = "write a name of 1 to 256 printable characters without blanks or ':'";
  if (value.empty() || value.size() > 256) return kRemedy;
  for (char c : value) {
    if (!absl::ascii_isgraph(c) || c == ':') return kRemedy;
  }
  return "";
}

absl::string_view CheckPath(absl::string_view value) {
  constexpr absl::string_view kRemedy =
      "write the absolute path of the executable, without empty, '.' or '..' segments, of at most 4096 bytes";
  if (value.size() < 2 || value.size() > 4096 || value[0] != '/') return kRemedy;
  for (absl::string_view segment : absl::StrSplit(value.substr(1), '/')) {
    if (segment.empty() || segment == "." || segment == "..") return kRemedy;
  }
  for (char c : value) {
    if (absl::ascii_iscntrl(c)) return kRemedy;
  }
  return "";
}

absl::string_view CheckSha256(absl::string_view value) {
  constexpr absl::string_view kRemedy = "write 64 lower-case hexadecimal digits, as sha256sum prints them";
  if (value.size() != 64) return kRemedy;
  for (char c : value) {
    if (!absl::ascii_isdigit(c) && !(c >= 'a' && c <= 'f')) return kRemedy;
  }
  return "";
}

struct KnownType {
  absl::string_view name;
  ValueCheck check;
};

constexpr KnownType kKnownTypes[] = {
    {"unix:uid", CheckNumber},    {"unix:gid", CheckNumber}, {"unix:supplementary_gid", CheckNumber},
    {"unix:user", CheckName},     {"unix:group", CheckName}, {"unix:path", CheckPath},
    {"unix:sha256", CheckSha256},
};

}  // namespace

absl::StatusOr<Selector> Selector::Parse(absl::string_view text) {
  if (text.size() > kMaxSizeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a selector is ", text.size(), " bytes long; at most ", kMaxSizeBytes, " are allowed"));
  }
  for (const KnownType& type : kKnownTypes) {
    if (text.substr(0, type.name.size()) != type.name) continue;
    const absl::string_view rest = text.substr(type.name.size());
    if (rest.empty() || rest[0] != ':') continue;
    const absl::string_view remedy = type.check(rest.substr(1));
    if (remedy.empty()) return Selector(std::string(text), type.name.size());
    return absl::InvalidArgumentError(absl::StrCat("selector '", text, "' has a malformed value; ", remedy));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("selector '", text,
                   "' has an unknown type; write unix:uid, unix:gid, unix:supplementary_gid, unix:user, unix:group, "
                   "unix:path or unix:sha256, a colon and the value"));
}

}  // namespace lanyard
