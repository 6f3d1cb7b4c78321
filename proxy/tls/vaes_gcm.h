// AES-GCM for processors with VAES and AVX-512.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace lanyard {

// AES-128-GCM or AES-256-GCM (NIST SP 800-38D) with nonces of 12 bytes and tags of 16, by Intel's IPsec MB library: a
// large text costs it a quarter of what it costs Debian 12's BoringSSL, which has no code for such processors. For one
// thread at a time; the key is wiped with the object. Where there is no such library (it is for x86-64), and in a build
// without it, vaes_gcm_absent.cc is the other half of this file.
class alignas(64) VaesGcm {
 public:
  static constexpr size_t kTagBytes = 16;

  // Whether this processor has what all the rest takes for granted, and may be called.
  static bool IsUsable();

  explicit VaesGcm(absl::Span<const uint8_t> key);  // of 16 or 32 bytes
  ~VaesGcm();
  VaesGcm(const VaesGcm&) = delete;
  VaesGcm& operator=(const VaesGcm&) = delete;

  // Encrypts `text` in place and writes `tag`.
  void Seal(const uint8_t* nonce, absl::Span<const uint8_t> aad, absl::Span<uint8_t> text, uint8_t* tag) const;
  // Decrypts `text` in place, which is nobody's to read where this is false: the tag was another's.
  bool Open(const uint8_t* nonce, absl::Span<const uint8_t> aad, absl::Span<uint8_t> text, const uint8_t* tag) const;

 private:
  std::array<uint8_t, 1008> schedule_;  // the library's gcm_key_data: round keys, powers of the hash key
  bool is_256_;
};

}  // namespace lanyard
