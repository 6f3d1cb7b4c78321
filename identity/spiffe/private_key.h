// A private key of a workload, a node or an authority. Its bytes stay inside BoringSSL
// and are freed zeroed; Export exists for the two places that may hand them on: the
// Workload API to the workload it belongs to, and the authority's sealed file.
#pragma once

#include <memory>
#include <string>

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "identity/base/secret.h"

namespace lanyard {

enum class KeyType { kEcP256, kEcP384, kRsa2048, kRsa4096, kEd25519 };

// Immutable, cheap to copy (shared), thread-safe to use from several threads.
class PrivateKey {
 public:
  static absl::StatusOr<PrivateKey> Generate(KeyType type);

  // Unencrypted PKCS#8 (RFC 5958); trailing bytes, unknown types and weak keys (see
  // CheckPublicKeyStrength) are InvalidArgument.
  static absl::StatusOr<PrivateKey> ParsePkcs8Der(absl::Span<const uint8_t> der);
  // The first private key in PEM text: PKCS#8, or the older EC and RSA forms; encrypted ones are refused.
  static absl::StatusOr<PrivateKey> ParsePem(absl::string_view pem);

  Secret ExportPkcs8Der() const;
  Secret ExportPkcs8Pem() const;

  // SubjectPublicKeyInfo DER, to compare with a certificate's.
  const std::string& public_key_der() const { return *spki_; }

  // Borrowed; lives as long as this value or a copy of it.
  EVP_PKEY* evp() const { return key_.get(); }

 private:
  // Takes `raw` over; checks its strength.
  static absl::StatusOr<PrivateKey> Own(EVP_PKEY* raw);
  PrivateKey(std::shared_ptr<EVP_PKEY> key, std::string spki);
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<const std::string> spki_;
};

// Checks a SubjectPublicKeyInfo for type and strength: P-256, P-384, P-521, Ed25519, RSA of 2048 to
// 8192 bits. InvalidArgument otherwise, naming what it found.
absl::Status CheckPublicKeyStrength(EVP_PKEY* key);

}  // namespace lanyard
