#include "identity/authority/issuing_counters.h"

namespace lanyard {

absl::string_view RefusalReasonName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kNoEntry: return "no_entry";
    case RefusalReason::kNotAllowed: return "not_allowed";
    case RefusalReason::kBadRequest: return "bad_request";
    case RefusalReason::kNoSigner: return "no_signer";
    case RefusalReason::kLimit: return "limit";
    case RefusalReason::kOther: break;
  }
  return "other";
}

RefusalReason ReasonOfRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound: return RefusalReason::kNoEntry;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated: return RefusalReason::kNotAllowed;
    case absl::StatusCode::kInvalidArgument: return RefusalReason::kBadRequest;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted: return RefusalReason::kNoSigner;
    default: return RefusalReason::kOther;
  }
}

}  // namespace lanyard
