#include "identity/spiffe/authority_uri.h"

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

const std::string* UnfitAuthorityUri(const Certificate& authority) {
  for (const std::string& uri : authority.uri_names()) {
    if (!absl::StartsWith(uri, "spiffe://")) continue;
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::StripSuffix(uri, "/"));
    if (!id.ok() || id->has_path()) return &uri;
  }
  return nullptr;
}

}  // namespace lanyard
