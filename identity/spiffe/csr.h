// PKCS#10 certification requests (RFC 2986). A CSR proves possession of a key and carries
// it; whatever names it asks for are never read: names come from the entry.
#pragma once

#include <memory>
#include <string>

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "identity/spiffe/private_key.h"

namespace lanyard {

// A parsed request whose self-signature holds and whose key is strong enough.
class Csr {
 public:
  static constexpr size_t kMaxSizeBytes = 16 << 10;

  // InvalidArgument: not DER, trailing bytes, too large, bad signature, MD5/SHA-1
  // signature, key type or strength.
  static absl::StatusOr<Csr> Parse(absl::Span<const uint8_t> der);

  // The DER of a request for `key`, empty subject, signed by it.
  static absl::StatusOr<std::string> Create(const PrivateKey& key);

  EVP_PKEY* public_key() const { return key_.get(); }
  const std::string& public_key_der() const { return spki_; }

 private:
  Csr(std::shared_ptr<EVP_PKEY> key, std::string spki) : key_(std::move(key)), spki_(std::move(spki)) {}
  std::shared_ptr<EVP_PKEY> key_;
  std::string spki_;
};

}  // namespace lanyard
