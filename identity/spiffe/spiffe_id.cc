#include "identity/spiffe/spiffe_id.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

constexpr absl::string_view kScheme = "spiffe://";

bool IsPathCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

// What is wrong with one segment; "" when nothing is.
std::string SegmentFault(absl::string_view segment) {
  if (segment.empty()) return "has an empty path segment";
  if (segment == "." || segment == "..") return "has a relative path segment ('.' or '..')";
  const auto bad = std::find_if_not(segment.begin(), segment.end(), IsPathCharacter);
  if (bad == segment.end()) return "";
  return absl::StrCat("holds ", Quoted(absl::string_view(&*bad, 1)),
                      " in its path: only a-z, A-Z, 0-9, '.', '-' and '_' are allowed");
}

// `path` starts with '/'.
std::string PathFault(absl::string_view path) {
  if (path.back() == '/') return "ends in '/'";
  for (absl::string_view segment : absl::StrSplit(path.substr(1), '/')) {
    std::string fault = SegmentFault(segment);
    if (!fault.empty()) return fault;
  }
  return "";
}

absl::Status Refused(absl::string_view uri, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat("SPIFFE ID ", Quoted(uri), " ", fault));
}

}  // namespace

absl::StatusOr<SpiffeId> SpiffeId::Parse(absl::string_view uri) {
  if (uri.size() > kMaxSizeBytes) return Refused(uri, absl::StrCat("is longer than ", kMaxSizeBytes, " bytes"));
  absl::string_view rest = uri;
  if (!absl::ConsumePrefix(&rest, kScheme)) return Refused(uri, "does not start with spiffe://");
  const size_t slash = std::min(rest.find('/'), rest.size());
  absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(rest.substr(0, slash));
  if (!trust_domain.ok()) {
    return Refused(uri, absl::StrCat("has no valid trust domain: ", trust_domain.status().message()));
  }
  const absl::string_view path = rest.substr(slash);
  if (!path.empty()) {
    const std::string fault = PathFault(path);
    if (!fault.empty()) return Refused(uri, fault);
  }
  return SpiffeId(std::string(uri), *std::move(trust_domain), kScheme.size() + slash);
}

absl::StatusOr<SpiffeId> SpiffeId::FromParts(const TrustDomain& trust_domain, absl::string_view path) {
  if (!path.empty() && path.front() != '/') {
    return absl::InvalidArgumentError(absl::StrCat("SPIFFE ID path ", Quoted(path), " does not start with '/'"));
  }
  return Parse(absl::StrCat(trust_domain.IdString(), path));
}

}  // namespace lanyard
