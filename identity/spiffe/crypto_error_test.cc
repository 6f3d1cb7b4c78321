#include "identity/spiffe/crypto_error.h"

#include <openssl/err.h>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(CryptoError, AddsTheReasonAndEmptiesTheQueue) {
  OPENSSL_PUT_ERROR(X509, ERR_R_MALLOC_FAILURE);
  OPENSSL_PUT_ERROR(X509, ERR_R_INTERNAL_ERROR);
  const absl::Status status = CryptoError(absl::StatusCode::kInvalidArgument, "cannot read it");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "cannot read it: malloc failure");
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(CryptoError, WithoutAReasonSaysOnlyWhat) {
  ERR_clear_error();
  EXPECT_EQ(CryptoError(absl::StatusCode::kInternal, "cannot read it").message(), "cannot read it");
}

}  // namespace
}  // namespace lanyard
