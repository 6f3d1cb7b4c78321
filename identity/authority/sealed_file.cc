#include "identity/authority/sealed_file.h"

#include <openssl/aead.h>
#include <openssl/err.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr absl::string_view kMagic("LANYARD-SEALED\0", 15);
constexpr char kVersion = 1;
constexpr size_t kNonceSizeBytes = 12;
constexpr size_t kTagSizeBytes = 16;
constexpr size_t kHeaderSizeBytes = 15 + 1 + kNonceSizeBytes;

const uint8_t* Bytes(absl::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

absl::Status InitContext(EVP_AEAD_CTX* context, const Secret& key) {
  if (key.bytes().size() != kSealingKeySizeBytes) {
    return absl::InternalError(absl::StrCat("a sealing key has ", key.bytes().size(), " bytes instead of 32"));
  }
  if (EVP_AEAD_CTX_init(context, EVP_aead_aes_256_gcm(), key.bytes().data(), key.bytes().size(), kTagSizeBytes,
                        nullptr) != 1) {
    ERR_clear_error();
    return absl::InternalError("AES-256-GCM cannot be set up");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Seal(const Secret& plaintext, const Secret& key, absl::string_view context,
                                 Random& random) {
  bssl::ScopedEVP_AEAD_CTX aead;
  if (absl::Status ready = InitContext(aead.get(), key); !ready.ok()) return ready;
  std::string sealed = absl::StrCat(kMagic, absl::string_view(&kVersion, 1), std::string(kNonceSizeBytes, '\0'));
  random.Fill(absl::MakeSpan(reinterpret_cast<uint8_t*>(sealed.data()) + kMagic.size() + 1, kNonceSizeBytes));
  const std::string associated = absl::StrCat(sealed, context);
  sealed.resize(kHeaderSizeBytes + plaintext.bytes().size() + kTagSizeBytes);
  uint8_t* out = reinterpret_cast<uint8_t*>(sealed.data());
  size_t written = 0;
  if (EVP_AEAD_CTX_seal(aead.get(), out + kHeaderSizeBytes, &written, sealed.size() - kHeaderSizeBytes,
                        out + kMagic.size() + 1, kNonceSizeBytes, plaintext.bytes().data(), plaintext.bytes().size(),
                        Bytes(associated), associated.size()) != 1) {
    ERR_clear_error();
    return absl::InternalError("AES-256-GCM failed to seal");
  }
  sealed.resize(kHeaderSizeBytes + written);
  return sealed;
}

absl::StatusOr<Secret> Unseal(absl::string_view sealed, const Secret& key, absl::string_view context) {
  if (sealed.size() < kHeaderSizeBytes + kTagSizeBytes || sealed.substr(0, kMagic.size()) != kMagic) {
    return absl::DataLossError("it is cut short or is no sealed file");
  }
  if (sealed[kMagic.size()] != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("it has format ", static_cast<int>(sealed[kMagic.size()]),
                                                      " but this program knows only ", static_cast<int>(kVersion)));
  }
  bssl::ScopedEVP_AEAD_CTX aead;
  if (absl::Status ready = InitContext(aead.get(), key); !ready.ok()) return ready;
  const absl::string_view header = sealed.substr(0, kHeaderSizeBytes);
  const absl::string_view ciphertext = sealed.substr(kHeaderSizeBytes);
  const std::string associated = absl::StrCat(header, context);
  // Exactly as long as what comes out, so that no byte of it lies elsewhere.
  Secret plaintext(ciphertext.size() - kTagSizeBytes);
  size_t written = 0;
  if (EVP_AEAD_CTX_open(aead.get(), plaintext.mutable_bytes().data(), &written, plaintext.bytes().size(),
                        Bytes(header) + kMagic.size() + 1, kNonceSizeBytes, Bytes(ciphertext), ciphertext.size(),
                        Bytes(associated), associated.size()) != 1) {
    ERR_clear_error();
    return absl::DataLossError("it was sealed with another key or for another trust domain, or was altered");
  }
  return plaintext;
}

}  // namespace lanyard
