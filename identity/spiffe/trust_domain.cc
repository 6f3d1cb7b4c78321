#include "identity/spiffe/trust_domain.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

bool IsTrustDomainCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
         c == '.' || c == '-' || c == '_';
}

}  // namespace

absl::StatusOr<TrustDomain> TrustDomain::Parse(absl::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("a trust domain is empty: write a name such as example.org");
  if (name.size() > kMaxSizeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("trust domain ", Quoted(name), " is longer than ", kMaxSizeBytes, " bytes"));
  }
  const auto bad = std::find_if_not(name.begin(), name.end(), IsTrustDomainCharacter);
  if (bad != name.end()) {
    return absl::InvalidArgumentError(absl::StrCat("trust domain ", Quoted(name), " holds ",
                                                   Quoted(absl::string_view(&*bad, 1)),
                                                   ": only a-z, 0-9, '.', '-' and '_' are allowed"));
  }
  return TrustDomain(std::string(name));
}

std::string TrustDomain::IdString() const { return absl::StrCat("spiffe://", name_); }

}  // namespace lanyard
