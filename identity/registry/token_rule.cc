#include "identity/registry/token_rule.h"

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr absl::string_view kRemedy = "make a new one with 'lanyard token create'";

}  // namespace

absl::Status UnknownJoinToken() {
  return absl::PermissionDeniedError(absl::StrCat("the join token is unknown here; ", kRemedy));
}

absl::Status CheckJoinTokenUsable(const JoinToken& token, absl::Time now) {
  if (token.used_at) {
    return absl::PermissionDeniedError(absl::StrCat("the join token for ", token.agent_id.ToString(), " was used at ",
                                                    absl::FormatTime(*token.used_at, absl::UTCTimeZone()), "; ",
                                                    kRemedy));
  }
  if (now >= token.expires_at) {
    return absl::PermissionDeniedError(absl::StrCat("the join token for ", token.agent_id.ToString(), " expired at ",
                                                    absl::FormatTime(token.expires_at, absl::UTCTimeZone()), "; ",
                                                    kRemedy));
  }
  return absl::OkStatus();
}

absl::Status CheckJoinToken(const JoinToken& token, const Node& node) {
  if (token.agent_id != node.id) {
    return absl::PermissionDeniedError(absl::StrCat("the join token was made for ", token.agent_id.ToString(),
                                                    ", not for ", node.id.ToString(), "; ", kRemedy));
  }
  return CheckJoinTokenUsable(token, node.attested_at);
}

}  // namespace lanyard
