#include "proxy/tls/record_aead.h"

#include <openssl/err.h>
#include <openssl/mem.h>

#include <algorithm>

namespace lanyard {

bool RecordAead::SetKey(const EVP_AEAD* aead, absl::Span<const uint8_t> key, Engine engine) {
  DropKey();
  if (key.size() != EVP_AEAD_key_length(aead)) return false;
  if (engine == Engine::kVaes && aead != EVP_aead_chacha20_poly1305()) {
    key_.emplace<VaesGcm>(key);
    return true;
  }
  EVP_AEAD_CTX* const boringssl = key_.emplace<bssl::ScopedEVP_AEAD_CTX>().get();
  if (EVP_AEAD_CTX_init(boringssl, aead, key.data(), key.size(), kTagBytes, nullptr) == 1) return true;
  ERR_clear_error();
  DropKey();
  return false;
}

void RecordAead::DropKey() {
  if (auto* const boringssl = std::get_if<bssl::ScopedEVP_AEAD_CTX>(&key_)) {
    EVP_AEAD_CTX_cleanup(boringssl->get());  // which leaves what it needs not free
    OPENSSL_cleanse(boringssl->get(), sizeof(EVP_AEAD_CTX));
  }
  key_.emplace<std::monostate>();
}

bool RecordAead::Seal(const uint8_t* nonce, const uint8_t* header, absl::Span<uint8_t> text, uint8_t* tag) {
  if (const VaesGcm* const vaes = std::get_if<VaesGcm>(&key_)) {
    vaes->Seal(nonce, {header, kHeaderBytes}, text, tag);
    return true;
  }
  const auto* const boringssl = std::get_if<bssl::ScopedEVP_AEAD_CTX>(&key_);
  size_t tag_bytes = 0;
  if (boringssl != nullptr &&
      EVP_AEAD_CTX_seal_scatter(boringssl->get(), text.data(), tag, &tag_bytes, kTagBytes, nonce, kNonceBytes,
                                text.data(), text.size(), nullptr, 0, header, kHeaderBytes) == 1 &&
      tag_bytes == kTagBytes) {
    return true;
  }
  ERR_clear_error();
  return false;
}

bool RecordAead::Open(const uint8_t* nonce, const uint8_t* header, absl::Span<uint8_t> text, const uint8_t* tag) {
  if (const VaesGcm* const vaes = std::get_if<VaesGcm>(&key_)) {
    if (vaes->Open(nonce, {header, kHeaderBytes}, text, tag)) return true;
  } else if (const auto* const boringssl = std::get_if<bssl::ScopedEVP_AEAD_CTX>(&key_)) {
    if (EVP_AEAD_CTX_open_gather(boringssl->get(), text.data(), nonce, kNonceBytes, text.data(), text.size(), tag,
                                 kTagBytes, header, kHeaderBytes) == 1) {
      return true;
    }
    ERR_clear_error();
  }
  std::fill(text.begin(), text.end(), 0);
  return false;
}

}  // namespace lanyard
