#include "identity/spiffe/crypto_error.h"

#include <openssl/err.h>

#include "absl/strings/str_cat.h"

namespace lanyard {

absl::Status CryptoError(absl::StatusCode code, absl::string_view what) {
  // The deepest cause was put in first.
  const uint32_t error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return absl::Status(code, what);
  return absl::Status(code, absl::StrCat(what, ": ", ERR_reason_error_string(error)));
}

}  // namespace lanyard
