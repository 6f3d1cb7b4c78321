#include "identity/spiffe/csr.h"

#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/x509.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/crypto_error.h"
#include "identity/spiffe/signature_algorithm.h"

namespace lanyard {
namespace {

absl::StatusOr<bssl::UniquePtr<X509_REQ>> ParseRequest(absl::Span<const uint8_t> der) {
  if (der.size() > Csr::kMaxSizeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the CSR has ", der.size(), " bytes: at most ", Csr::kMaxSizeBytes, " are taken"));
  }
  const uint8_t* position = der.data();
  bssl::UniquePtr<X509_REQ> request(d2i_X509_REQ(nullptr, &position, static_cast<long>(der.size())));
  if (!request) return CryptoError(absl::StatusCode::kInvalidArgument, "the CSR is not a DER PKCS#10 request");
  if (position != der.data() + der.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the CSR is followed by ", der.data() + der.size() - position, " bytes"));
  }
  return request;
}

absl::Status CheckSelfSignature(X509_REQ* request, EVP_PKEY* key) {
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_REQ_get0_signature(request, &signature, &algorithm);
  if (!IsStrongSignature(algorithm)) {
    return absl::InvalidArgumentError("the CSR is signed by a weak or unknown algorithm: use SHA-256 or better");
  }
  if (X509_REQ_verify(request, key) != 1) {
    return CryptoError(absl::StatusCode::kInvalidArgument, "the CSR's signature is not by its own key");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PublicKeyDer(EVP_PKEY* key) {
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 128) || !EVP_marshal_public_key(cbb.get(), key) || !CBB_flush(cbb.get())) {
    return CryptoError(absl::StatusCode::kInvalidArgument, "cannot encode the CSR's public key");
  }
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get()));
}

}  // namespace

absl::StatusOr<Csr> Csr::Parse(absl::Span<const uint8_t> der) {
  absl::StatusOr<bssl::UniquePtr<X509_REQ>> request = ParseRequest(der);
  if (!request.ok()) return request.status();
  std::shared_ptr<EVP_PKEY> key(X509_REQ_get_pubkey(request->get()), EVP_PKEY_free);
  if (!key) return CryptoError(absl::StatusCode::kInvalidArgument, "the CSR's public key cannot be read");
  if (absl::Status strength = CheckPublicKeyStrength(key.get()); !strength.ok()) return strength;
  if (absl::Status self = CheckSelfSignature(request->get(), key.get()); !self.ok()) return self;
  absl::StatusOr<std::string> spki = PublicKeyDer(key.get());
  if (!spki.ok()) return spki.status();
  return Csr(std::move(key), *std::move(spki));
}

absl::StatusOr<std::string> Csr::Create(const PrivateKey& key) {
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  uint8_t* der = nullptr;
  if (!request || !X509_REQ_set_version(request.get(), 0) || !X509_REQ_set_pubkey(request.get(), key.evp()) ||
      !X509_REQ_sign(request.get(), key.evp(), SignatureDigest(key.evp()))) {
    return CryptoError(absl::StatusCode::kInternal, "cannot make a CSR");
  }
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size < 0) return CryptoError(absl::StatusCode::kInternal, "cannot encode a CSR");
  bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

}  // namespace lanyard
