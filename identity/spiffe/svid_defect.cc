#include "identity/spiffe/svid_defect.h"

#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr absl::string_view kPayloadUrl = "lanyard/svid-defect";

absl::StatusCode CodeOf(SvidDefect defect) {
  return defect == SvidDefect::kMalformed ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnauthenticated;
}

}  // namespace

absl::string_view SvidDefectName(SvidDefect defect) {
  switch (defect) {
    case SvidDefect::kNone: return "none";
    case SvidDefect::kMalformed: return "malformed";
    case SvidDefect::kNoSpiffeId: return "no_spiffe_id";
    case SvidDefect::kSeveralUriNames: return "several_uri_names";
    case SvidDefect::kCaAsLeaf: return "ca_as_leaf";
    case SvidDefect::kBadKeyUsage: return "bad_key_usage";
    case SvidDefect::kWeakKey: return "weak_key";
    case SvidDefect::kUnknownTrustDomain: return "unknown_trust_domain";
    case SvidDefect::kNotYetValid: return "not_yet_valid";
    case SvidDefect::kExpired: return "expired";
    case SvidDefect::kUntrusted: return "untrusted";
  }
  return "untrusted";
}

absl::Status SvidError(SvidDefect defect, absl::string_view message) {
  absl::Status status(CodeOf(defect), message);
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(static_cast<int>(defect))));
  return status;
}

SvidDefect DefectOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  int number = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &number)) return SvidDefect::kNone;
  return static_cast<SvidDefect>(number);
}

}  // namespace lanyard
