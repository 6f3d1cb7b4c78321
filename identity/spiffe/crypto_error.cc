#include "identity/spiffe/crypto_error.h"

#include <openssl/err.h>

#include "absl/strings/str_cat.h"

namespace lanyard {

absl::Status CryptoError(absl::StatusCode code, absl::string_view what) {
  // The deepest cause was put in first.
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return absl::Status(code, reason == nullptr ? std::string(what) : absl::StrCat(what, ": ", reason));
}

}  // namespace lanyard
