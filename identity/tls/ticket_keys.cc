#include "identity/tls/ticket_keys.h"

#include <openssl/mem.h>

#include <cstring>

#include "identity/base/random.h"
#include "identity/base/secret.h"

namespace lanyard {

TicketKeys::TicketKeys(const Clock& clock) : clock_(clock), current_(NewKey(clock.Monotonic())) {}

std::shared_ptr<const TicketKeys::Key> TicketKeys::NewKey(absl::Duration now) {
  auto key = std::make_shared<Key>();
  SystemRandom().Fill(key->name);
  Secret secret(EVP_AEAD_key_length(EVP_aead_aes_256_gcm()));
  SystemRandom().Fill(secret.mutable_bytes());
  key->made_at = now;
  // Fails for want of memory only; sealing with such a key fails, and then no tickets are sent.
  if (!EVP_AEAD_CTX_init(key->aead.get(), EVP_aead_aes_256_gcm(), secret.bytes().data(), secret.bytes().size(),
                         EVP_AEAD_DEFAULT_TAG_LENGTH, nullptr)) {
    return nullptr;
  }
  return key;
}

std::shared_ptr<const TicketKeys::Key> TicketKeys::Current() const {
  const absl::Duration now = clock_.Monotonic();
  absl::MutexLock lock(&mutex_);
  if (current_ == nullptr || now - current_->made_at >= kRotation) {
    previous_ = std::move(current_);
    current_ = NewKey(now);
  }
  return current_;
}

std::shared_ptr<const TicketKeys::Key> TicketKeys::Named(absl::Span<const uint8_t> name) const {
  const absl::Duration now = clock_.Monotonic();
  absl::MutexLock lock(&mutex_);
  for (const auto& key : {current_, previous_}) {
    if (key != nullptr && std::memcmp(key->name, name.data(), kNameSizeBytes) == 0 &&
        now - key->made_at < 2 * kRotation) {
      return key;
    }
  }
  return nullptr;
}

std::optional<size_t> TicketKeys::Seal(absl::Span<const uint8_t> in, absl::Span<uint8_t> out) const {
  const std::shared_ptr<const Key> key = Current();
  if (key == nullptr || out.size() < in.size() + kOverheadBytes) return std::nullopt;
  std::memcpy(out.data(), key->name, kNameSizeBytes);
  absl::Span<uint8_t> nonce = out.subspan(kNameSizeBytes, kNonceSizeBytes);
  SystemRandom().Fill(nonce);
  absl::Span<uint8_t> sealed = out.subspan(kNameSizeBytes + kNonceSizeBytes);
  size_t size_bytes;
  if (!EVP_AEAD_CTX_seal(key->aead.get(), sealed.data(), &size_bytes, sealed.size(), nonce.data(), nonce.size(),
                         in.data(), in.size(), out.data(), kNameSizeBytes)) {
    return std::nullopt;
  }
  return kNameSizeBytes + kNonceSizeBytes + size_bytes;
}

std::optional<size_t> TicketKeys::Open(absl::Span<const uint8_t> in, absl::Span<uint8_t> out) const {
  if (in.size() < kOverheadBytes) return std::nullopt;
  const std::shared_ptr<const Key> key = Named(in.first(kNameSizeBytes));
  if (key == nullptr) return std::nullopt;
  const absl::Span<const uint8_t> nonce = in.subspan(kNameSizeBytes, kNonceSizeBytes);
  const absl::Span<const uint8_t> sealed = in.subspan(kNameSizeBytes + kNonceSizeBytes);
  size_t size_bytes;
  if (!EVP_AEAD_CTX_open(key->aead.get(), out.data(), &size_bytes, out.size(), nonce.data(), nonce.size(),
                         sealed.data(), sealed.size(), in.data(), kNameSizeBytes)) {
    return std::nullopt;
  }
  return size_bytes;
}

}  // namespace lanyard
