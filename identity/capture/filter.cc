#include "identity/capture/filter.h"

#include <arpa/inet.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

constexpr size_t kMaxCgroupBytes = 120;

}  // namespace

absl::StatusOr<uint16_t> ParsePort(absl::string_view text) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a port; write a number from 1 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

absl::StatusOr<PortRange> PortRange::Parse(absl::string_view text) {
  const size_t dash = text.find('-');
  const absl::StatusOr<uint16_t> first = ParsePort(text.substr(0, dash));
  if (!first.ok()) return first.status();
  if (dash == absl::string_view::npos) return PortRange(*first, *first);
  const absl::StatusOr<uint16_t> last = ParsePort(text.substr(dash + 1));
  if (!last.ok()) return last.status();
  if (*last < *first) {
    return absl::InvalidArgumentError(
        absl::StrCat("the port range '", text, "' runs backwards; write the lower port first"));
  }
  return PortRange(*first, *last);
}

std::string PortRange::ToString() const {
  return first_ == last_ ? absl::StrCat(first_) : absl::StrCat(first_, "-", last_);
}

absl::StatusOr<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  unsigned char bytes[16];
  const bool is_v6 = inet_pton(AF_INET6, address.c_str(), bytes) == 1;
  const bool is_v4 = !is_v6 && inet_pton(AF_INET, address.c_str(), bytes) == 1;
  const int limit = is_v6 ? 128 : 32;
  int length = limit;
  const bool length_ok = slash == absl::string_view::npos ||
                         (absl::SimpleAtoi(text.substr(slash + 1), &length) && length >= 0 && length <= limit);
  if ((!is_v4 && !is_v6) || !length_ok) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is not a network; write an address and a prefix length, such as 10.0.0.0/8 or fd00::/8"));
  }
  return Cidr(absl::StrCat(address, "/", length), is_v6);
}

absl::StatusOr<Cgroup> Cgroup::Parse(absl::string_view text, absl::string_view mount_point) {
  absl::string_view path = text;
  if (absl::StartsWith(path, absl::StrCat(mount_point, "/")) || path == mount_point) {
    path.remove_prefix(mount_point.size());
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  const bool climbs = std::any_of(parts.begin(), parts.end(),
                                  [](absl::string_view part) { return part == "." || part == ".."; });
  const bool odd = std::any_of(path.begin(), path.end(), [](char c) {
    return !absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '"' || c == '\\' || c == ',';
  });
  if (parts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is the root of all cgroups, which holds every process; name one below it, or none at all"));
  }
  if (climbs || odd || path.size() > kMaxCgroupBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is not a cgroup; write its path below the root, such as system.slice/shop.service: printable, "
        "without quotes, commas, '.' and '..', at most ", kMaxCgroupBytes, " bytes"));
  }
  return Cgroup(absl::StrJoin(parts, "/"));
}

int Cgroup::level() const { return 1 + static_cast<int>(std::count(path_.begin(), path_.end(), '/')); }

}  // namespace lanyard
