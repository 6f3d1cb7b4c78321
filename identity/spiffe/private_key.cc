#include "identity/spiffe/private_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/crypto_error.h"

namespace lanyard {
namespace {

bssl::UniquePtr<EVP_PKEY> GenerateEc(int curve_nid) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve_nid));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!ec || !key || !EC_KEY_generate_key(ec.get()) || !EVP_PKEY_set1_EC_KEY(key.get(), ec.get())) return nullptr;
  return key;
}

bssl::UniquePtr<EVP_PKEY> GenerateRsa(int bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!rsa || !exponent || !key || !BN_set_word(exponent.get(), RSA_F4) ||
      !RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr) || !EVP_PKEY_set1_RSA(key.get(), rsa.get())) {
    return nullptr;
  }
  return key;
}

bssl::UniquePtr<EVP_PKEY> GenerateEd25519() {
  bssl::UniquePtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  EVP_PKEY* key = nullptr;
  if (!context || !EVP_PKEY_keygen_init(context.get()) || !EVP_PKEY_keygen(context.get(), &key)) return nullptr;
  return bssl::UniquePtr<EVP_PKEY>(key);
}

bssl::UniquePtr<EVP_PKEY> GenerateOf(KeyType type) {
  switch (type) {
    case KeyType::kEcP256: return GenerateEc(NID_X9_62_prime256v1);
    case KeyType::kEcP384: return GenerateEc(NID_secp384r1);
    case KeyType::kRsa2048: return GenerateRsa(2048);
    case KeyType::kRsa4096: return GenerateRsa(4096);
    case KeyType::kEd25519: return GenerateEd25519();
  }
  return nullptr;
}

absl::StatusOr<std::string> PublicKeyDer(EVP_PKEY* key) {
  bssl::ScopedCBB cbb;
  uint8_t* der = nullptr;
  size_t size = 0;
  if (!CBB_init(cbb.get(), 128) || !EVP_marshal_public_key(cbb.get(), key) || !CBB_finish(cbb.get(), &der, &size)) {
    return CryptoError(absl::StatusCode::kInvalidArgument, "cannot encode the public key");
  }
  bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), size);
}

absl::Status CheckEcStrength(EVP_PKEY* key) {
  const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key);
  const int curve = EC_GROUP_get_curve_name(EC_KEY_get0_group(ec));
  if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 || curve == NID_secp521r1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the key is on the curve ", OBJ_nid2sn(curve), ": use P-256, P-384 or P-521"));
}

absl::Status CheckRsaStrength(EVP_PKEY* key) {
  const int bits = EVP_PKEY_bits(key);
  if (bits >= 2048 && bits <= 8192) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the RSA key has ", bits, " bits: use 2048 to 8192"));
}

// A key file that needs a passphrase must not make a daemon ask a terminal for it.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

absl::Status CheckPublicKeyStrength(EVP_PKEY* key) {
  switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_EC: return CheckEcStrength(key);
    case EVP_PKEY_RSA: return CheckRsaStrength(key);
    case EVP_PKEY_ED25519: return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("the key is of type ", OBJ_nid2sn(EVP_PKEY_id(key)),
                                                 ": use EC, Ed25519 or RSA"));
}

PrivateKey::PrivateKey(std::shared_ptr<EVP_PKEY> key, std::string spki)
    : key_(std::move(key)), spki_(std::make_shared<const std::string>(std::move(spki))) {}

absl::StatusOr<PrivateKey> PrivateKey::Own(EVP_PKEY* raw) {
  std::shared_ptr<EVP_PKEY> key(raw, EVP_PKEY_free);
  if (absl::Status strength = CheckPublicKeyStrength(key.get()); !strength.ok()) return strength;
  absl::StatusOr<std::string> spki = PublicKeyDer(key.get());
  if (!spki.ok()) return spki.status();
  return PrivateKey(std::move(key), *std::move(spki));
}

absl::StatusOr<PrivateKey> PrivateKey::Generate(KeyType type) {
  bssl::UniquePtr<EVP_PKEY> key = GenerateOf(type);
  if (!key) return CryptoError(absl::StatusCode::kInternal, "cannot generate a key");
  return Own(key.release());
}

absl::StatusOr<PrivateKey> PrivateKey::ParsePkcs8Der(absl::Span<const uint8_t> der) {
  CBS cbs;
  CBS_init(&cbs, der.data(), der.size());
  bssl::UniquePtr<EVP_PKEY> key(EVP_parse_private_key(&cbs));
  if (!key) return CryptoError(absl::StatusCode::kInvalidArgument, "the private key is not PKCS#8");
  if (CBS_len(&cbs) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the private key is followed by ", CBS_len(&cbs), " bytes"));
  }
  return Own(key.release());
}

absl::StatusOr<PrivateKey> PrivateKey::ParsePem(absl::string_view pem) {
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  bssl::UniquePtr<EVP_PKEY> key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr) : nullptr);
  if (!key) {
    return CryptoError(absl::StatusCode::kInvalidArgument, "there is no readable, unencrypted private key in the PEM");
  }
  return Own(key.release());
}

Secret PrivateKey::ExportPkcs8Der() const {
  bssl::ScopedCBB cbb;
  Secret out;
  if (CBB_init(cbb.get(), 256) && EVP_marshal_private_key(cbb.get(), key_.get()) && CBB_flush(cbb.get())) {
    out = Secret::CopyOf(absl::MakeConstSpan(CBB_data(cbb.get()), CBB_len(cbb.get())));
    Cleanse(absl::MakeSpan(const_cast<uint8_t*>(CBB_data(cbb.get())), CBB_len(cbb.get())));
  }
  return out;
}

Secret PrivateKey::ExportPkcs8Pem() const {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  const uint8_t* text = nullptr;
  size_t size = 0;
  // BoringSSL zeroes what it frees, so the BIO leaves no copy behind.
  if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) ||
      !BIO_mem_contents(bio.get(), &text, &size)) {
    return Secret();
  }
  return Secret::CopyOf(absl::MakeConstSpan(text, size));
}

}  // namespace lanyard
