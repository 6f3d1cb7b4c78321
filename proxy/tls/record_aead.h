// The cipher of TLS 1.3 records, one way of one connection, in place and without allocation for a record.
#pragma once

#include <openssl/aead.h>

#include <cstddef>
#include <cstdint>
#include <variant>

#include "absl/types/span.h"
#include "proxy/tls/vaes_gcm.h"

namespace lanyard {

// RFC 8446 section 5.2, by BoringSSL, and AES-GCM by VaesGcm where the processor can. Both make the same bytes. No I/O;
// for one thread at a time. The key is wiped with the object, or when another takes its place.
class RecordAead {
 public:
  RecordAead() = default;
  ~RecordAead() { DropKey(); }
  RecordAead(const RecordAead&) = delete;
  RecordAead& operator=(const RecordAead&) = delete;

  static constexpr size_t kNonceBytes = 12, kTagBytes = 16;
  static constexpr size_t kHeaderBytes = 5;  // of a record: what is authenticated beside the text

  enum class Engine : uint8_t { kBoringSsl, kVaes };
  static Engine Fastest() { return VaesGcm::IsUsable() ? Engine::kVaes : Engine::kBoringSsl; }

  // `aead` is one of the three of RFC 8446 appendix B.4. kVaes, which must be usable, leaves ChaCha20-Poly1305 to
  // BoringSSL. False: the key does not fit, and there is none now.
  bool SetKey(const EVP_AEAD* aead, absl::Span<const uint8_t> key, Engine engine = Fastest());

  void DropKey();

  // Encrypts `text` in place and writes `tag`. No nonce may serve twice with one key. False: there is no key.
  bool Seal(const uint8_t* nonce, const uint8_t* header, absl::Span<uint8_t> text, uint8_t* tag);
  // Decrypts `text` in place. False: it is not what was sealed, or there is no key; `text` is zeros then.
  bool Open(const uint8_t* nonce, const uint8_t* header, absl::Span<uint8_t> text, const uint8_t* tag);

 private:
  std::variant<std::monostate, bssl::ScopedEVP_AEAD_CTX, VaesGcm> key_;
};

}  // namespace lanyard
