#include "proxy/tls/vaes_gcm.h"

#include <cpuid.h>
#include <intel-ipsec-mb.h>
#include <openssl/mem.h>

#include <type_traits>

// The library has them by these names, its header only behind a table, and to set that table up costs a process 4 MB of
// memory. Their shape is the header's aes_gcm_enc_dec_t.
extern "C" {
void aes_gcm_precomp_128_vaes_avx512(gcm_key_data* key);
void aes_gcm_precomp_256_vaes_avx512(gcm_key_data* key);
std::remove_pointer_t<aes_gcm_enc_dec_t> aes_gcm_enc_128_vaes_avx512, aes_gcm_enc_256_vaes_avx512,
    aes_gcm_dec_128_vaes_avx512, aes_gcm_dec_256_vaes_avx512;
}

namespace lanyard {
namespace {

// By its bit: clang 14 does not know its name. That the kernel saves the registers, it says of AVX-512.
bool HasVaes() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_VAES) != 0;
}

}  // namespace

bool VaesGcm::IsUsable() {
  static const bool usable = HasVaes() && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl");
  return usable;
}

VaesGcm::VaesGcm(absl::Span<const uint8_t> key) : is_256_(key.size() == 32) {
  static_assert(sizeof(gcm_key_data) <= sizeof(schedule_) && alignof(gcm_key_data) <= alignof(VaesGcm));
  auto* const schedule = reinterpret_cast<gcm_key_data*>(schedule_.data());
  if (is_256_) {
    aes_keyexp_256_enc_avx512(key.data(), schedule->expanded_keys);
    aes_gcm_precomp_256_vaes_avx512(schedule);
  } else {
    aes_keyexp_128_enc_avx512(key.data(), schedule->expanded_keys);
    aes_gcm_precomp_128_vaes_avx512(schedule);
  }
}

VaesGcm::~VaesGcm() { OPENSSL_cleanse(schedule_.data(), schedule_.size()); }

void VaesGcm::Seal(const uint8_t* nonce, absl::Span<const uint8_t> aad, absl::Span<uint8_t> text, uint8_t* tag) const {
  gcm_context_data context;
  (is_256_ ? aes_gcm_enc_256_vaes_avx512 : aes_gcm_enc_128_vaes_avx512)(
      reinterpret_cast<const gcm_key_data*>(schedule_.data()), &context, text.data(), text.data(), text.size(), nonce,
      aad.data(), aad.size(), tag, kTagBytes);
  OPENSSL_cleanse(&context, sizeof(context));
}

bool VaesGcm::Open(const uint8_t* nonce, absl::Span<const uint8_t> aad, absl::Span<uint8_t> text,
                   const uint8_t* tag) const {
  gcm_context_data context;
  uint8_t expected[kTagBytes];
  (is_256_ ? aes_gcm_dec_256_vaes_avx512 : aes_gcm_dec_128_vaes_avx512)(
      reinterpret_cast<const gcm_key_data*>(schedule_.data()), &context, text.data(), text.data(), text.size(), nonce,
      aad.data(), aad.size(), expected, kTagBytes);
  const bool same = CRYPTO_memcmp(expected, tag, kTagBytes) == 0;
  OPENSSL_cleanse(&context, sizeof(context));
  OPENSSL_cleanse(expected, sizeof(expected));  // the tag that a forgery lacks
  return same;
}

}  // namespace lanyard
