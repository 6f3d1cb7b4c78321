#include "proxy/tls/tls_records.h"

#include <endian.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"

namespace lanyard {
namespace {

constexpr size_t kTagBytes = RecordAead::kTagBytes;
constexpr uint8_t kNewSessionTicket = 4, kKeyUpdate = 24;                   // RFC 8446 section 4
constexpr uint8_t kUpdateNotRequested = 0, kUpdateRequested = 1;            // section 4.6.3
constexpr uint8_t kWarning = 1, kFatal = 2, kCloseNotify = 0, kUserCancelled = 90;  // section 6
constexpr uint32_t kMaxMessageBytes = 16384;

// HKDF-Expand-Label with an empty context, section 7.1.
bool ExpandLabel(const EVP_MD* digest, absl::Span<const uint8_t> secret, absl::string_view label,
                 absl::Span<uint8_t> out) {
  static constexpr absl::string_view kPrefix = "tls13 ";
  uint8_t info[32];
  size_t size = 0;
  info[size++] = static_cast<uint8_t>(out.size() >> 8);
  info[size++] = static_cast<uint8_t>(out.size());
  info[size++] = static_cast<uint8_t>(kPrefix.size() + label.size());
  for (const absl::string_view part : {kPrefix, label}) {
    std::memcpy(info + size, part.data(), part.size());
    size += part.size();
  }
  info[size++] = 0;
  return HKDF_expand(out.data(), out.size(), digest, secret.data(), secret.size(), info, size) == 1;
}

TlsRecords::Opened Broken(uint8_t alert, const char* why) {
  return {.kind = TlsRecords::Kind::kBroken, .alert = alert, .why = why, .data = {}};
}

}  // namespace

bool TlsRecords::SuiteOf(uint16_t cipher_suite, Suite* suite) {
  switch (cipher_suite) {  // appendix B.4
    case 0x1301: *suite = {EVP_aead_aes_128_gcm(), EVP_sha256(), 32}; return true;
    case 0x1302: *suite = {EVP_aead_aes_256_gcm(), EVP_sha384(), 48}; return true;
    case 0x1303: *suite = {EVP_aead_chacha20_poly1305(), EVP_sha256(), 32}; return true;
    default: return false;
  }
}

std::unique_ptr<TlsRecords> TlsRecords::Create(uint16_t cipher_suite, bool is_server,
                                               absl::Span<const uint8_t> read_secret,
                                               absl::Span<const uint8_t> write_secret) {
  Suite suite;
  if (!SuiteOf(cipher_suite, &suite)) return nullptr;
  std::unique_ptr<TlsRecords> records(new TlsRecords(suite, is_server));
  if (!records->SetSecret(&records->read_, read_secret) || !records->SetSecret(&records->write_, write_secret)) {
    ERR_clear_error();
    return nullptr;
  }
  return records;
}

std::unique_ptr<TlsRecords> TlsRecords::TakeOver(const SSL* ssl) {
  bssl::Span<const uint8_t> read_secret, write_secret;
  if (SSL_version(ssl) != TLS1_3_VERSION || !bssl::SSL_get_traffic_secrets(ssl, &read_secret, &write_secret)) {
    ERR_clear_error();
    return nullptr;
  }
  std::unique_ptr<TlsRecords> records =
      Create(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)), SSL_is_server(ssl) == 1,
             {read_secret.data(), read_secret.size()}, {write_secret.data(), write_secret.size()});
  if (records == nullptr) return nullptr;
  records->read_.record_number = SSL_get_read_sequence(ssl);
  records->write_.record_number = SSL_get_write_sequence(ssl);
  return records;
}

TlsRecords::~TlsRecords() {
  for (Protection* protection : {&read_, &write_}) {
    OPENSSL_cleanse(protection->secret.data(), protection->secret.size());
    OPENSSL_cleanse(protection->iv.data(), protection->iv.size());
  }
}

// Keys.

// Section 7.3.
bool TlsRecords::SetSecret(Protection* protection, absl::Span<const uint8_t> secret) {
  if (secret.size() != suite_.secret_bytes) return false;
  uint8_t key[EVP_AEAD_MAX_KEY_LENGTH];
  const absl::Span<uint8_t> key_of_suite(key, EVP_AEAD_key_length(suite_.aead));
  std::memmove(protection->secret.data(), secret.data(), secret.size());
  protection->record_number = 0;
  protection->aead.DropKey();  // it has been used with these numbers
  const bool done = ExpandLabel(suite_.digest, secret, "key", key_of_suite) &&
                    ExpandLabel(suite_.digest, secret, "iv", absl::MakeSpan(protection->iv)) &&
                    protection->aead.SetKey(suite_.aead, key_of_suite);
  OPENSSL_cleanse(key, sizeof(key));
  return done;
}

// Section 7.2.
bool TlsRecords::UpdateKey(Protection* protection) {
  uint8_t next[kMaxSecretBytes];
  const absl::Span<uint8_t> secret(next, suite_.secret_bytes);
  const bool done = ExpandLabel(suite_.digest, {protection->secret.data(), secret.size()}, "traffic upd", secret) &&
                    SetSecret(protection, secret);
  OPENSSL_cleanse(next, sizeof(next));
  return done;
}

// Section 5.3.
void TlsRecords::NonceOf(const Protection& protection, uint8_t* nonce) {
  std::memcpy(nonce, protection.iv.data(), kNonceBytes);
  uint64_t tail;
  std::memcpy(&tail, nonce + kNonceBytes - sizeof(tail), sizeof(tail));
  tail ^= htobe64(protection.record_number);
  std::memcpy(nonce + kNonceBytes - sizeof(tail), &tail, sizeof(tail));
}

// Sealing.

size_t TlsRecords::Seal(Type type, absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, uint8_t* out) {
  size_t before = 0;
  if (answer_due_ || write_.record_number >= records_per_key_) {
    static constexpr uint8_t kUpdate[] = {kKeyUpdate, 0, 0, 1, kUpdateNotRequested};
    before = SealOne(kHandshake, {}, kUpdate, out);
    if (before == 0 || !UpdateKey(&write_)) return 0;
    answer_due_ = false;
  }
  const size_t size = SealOne(type, head, body, out + before);
  return size == 0 ? 0 : before + size;
}

size_t TlsRecords::SealOne(Type type, absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, uint8_t* out) {
  const size_t content = head.size() + body.size();
  if (content > kMaxRecordBytes) return 0;
  const size_t sealed = content + 1 + kTagBytes;
  out[0] = kData;  // section 5.2: what it is, is told within
  out[1] = out[2] = 3;
  out[3] = static_cast<uint8_t>(sealed >> 8);
  out[4] = static_cast<uint8_t>(sealed);
  uint8_t* const inner = out + kHeaderBytes;
  if (!head.empty()) std::memcpy(inner, head.data(), head.size());
  if (!body.empty()) std::memcpy(inner + head.size(), body.data(), body.size());
  inner[content] = type;
  uint8_t nonce[kNonceBytes];
  NonceOf(write_, nonce);
  if (!write_.aead.Seal(nonce, out, {inner, content + 1}, inner + content + 1)) return 0;
  ++write_.record_number;
  return kHeaderBytes + sealed;
}

// Opening.

TlsRecords::Opened TlsRecords::Open(absl::Span<uint8_t> record) {
  if (record.size() < kHeaderBytes || record[0] != kData) {
    return Broken(SSL_AD_UNEXPECTED_MESSAGE, "a record that is not protected");
  }
  if (record[1] != 3 || record[2] != 3) return Broken(SSL_AD_PROTOCOL_VERSION, "a record of another version");
  if (WireBytes(record) > kMaxWireBytes) return Broken(SSL_AD_RECORD_OVERFLOW, "a record that is too long");
  if (record.size() != WireBytes(record) || record.size() < kOverheadBytes) {
    return Broken(SSL_AD_BAD_RECORD_MAC, "a record that is too short");
  }
  const absl::Span<uint8_t> inner = record.subspan(kHeaderBytes, record.size() - kHeaderBytes - kTagBytes);
  uint8_t nonce[kNonceBytes];
  NonceOf(read_, nonce);
  if (!read_.aead.Open(nonce, record.data(), inner, inner.data() + inner.size())) {
    return Broken(SSL_AD_BAD_RECORD_MAC, "a record that does not decrypt");
  }
  if (++read_.record_number == 0) return Broken(SSL_AD_INTERNAL_ERROR, "too many records with one key");
  if (inner.size() > kMaxRecordBytes + 1) return Broken(SSL_AD_RECORD_OVERFLOW, "a record that is too long");
  size_t size = inner.size();
  while (size > 0 && inner[size - 1] == 0) --size;  // padding, section 5.4
  if (size == 0) return Broken(SSL_AD_UNEXPECTED_MESSAGE, "a record without a type");
  return OpenContent(inner[size - 1], inner.first(size - 1));
}

TlsRecords::Opened TlsRecords::OpenContent(uint8_t type, absl::Span<uint8_t> content) {
  const bool has_data = type == kData && !content.empty();
  records_without_data_ = has_data ? std::max(records_without_data_ - 1, 0) : records_without_data_ + 1;
  if (records_without_data_ > kMaxRecordsWithoutData) {
    return Broken(SSL_AD_UNEXPECTED_MESSAGE, "too many records without data");
  }
  if (type == kAlert) return OpenAlert(content);
  if (type == kHandshake) return OpenHandshake(content);
  if (type != kData) return Broken(SSL_AD_UNEXPECTED_MESSAGE, "a record of unknown type");
  if (message_filled_ > 0) return Broken(SSL_AD_UNEXPECTED_MESSAGE, "data within a handshake message");
  if (!has_data) return {};
  return {.kind = Kind::kData, .alert = 0, .why = "", .data = content};
}

// Section 6; warnings as BoringSSL takes them.
TlsRecords::Opened TlsRecords::OpenAlert(absl::Span<const uint8_t> content) const {
  if (content.size() != 2) return Broken(SSL_AD_DECODE_ERROR, "an alert of a wrong size");
  const uint8_t level = content[0], alert = content[1];
  if (level == kFatal) return {.kind = Kind::kAlert, .alert = alert, .why = "", .data = {}};
  if (level != kWarning) return Broken(SSL_AD_ILLEGAL_PARAMETER, "an alert of unknown level");
  if (alert == kCloseNotify) return {.kind = Kind::kEnd, .alert = alert, .why = "", .data = {}};
  // Java says it where it means close_notify, and then says that too.
  if (alert == kUserCancelled) return {};
  return Broken(SSL_AD_DECODE_ERROR, "a warning, which TLS 1.3 does not know");
}

// A message may come in pieces, but nothing may come between them (section 5.1).
TlsRecords::Opened TlsRecords::OpenHandshake(absl::Span<const uint8_t> content) {
  if (content.empty()) return Broken(SSL_AD_UNEXPECTED_MESSAGE, "an empty handshake record");
  while (!content.empty()) {
    if (message_filled_ < message_.size()) {
      message_[message_filled_++] = content.front();
      content.remove_prefix(1);
      if (message_filled_ < message_.size()) continue;
      const Opened begun = BeginMessage();
      if (begun.kind == Kind::kBroken) return begun;
      continue;
    }
    if (message_[0] == kKeyUpdate) {
      const uint8_t request = content.front();
      message_filled_ = 0;
      // The next record has another key.
      if (content.size() > 1) return Broken(SSL_AD_UNEXPECTED_MESSAGE, "a key update within a record");
      return FollowKeyUpdate(request);
    }
    const size_t taken = std::min<size_t>(message_left_, content.size());
    content.remove_prefix(taken);
    message_left_ -= static_cast<uint32_t>(taken);
    if (message_left_ == 0) message_filled_ = 0;
  }
  return {};
}

TlsRecords::Opened TlsRecords::BeginMessage() {
  message_left_ = uint32_t{message_[1]} << 16 | uint32_t{message_[2]} << 8 | message_[3];
  if (message_[0] == kKeyUpdate) {
    return message_left_ == 1 ? Opened{} : Broken(SSL_AD_DECODE_ERROR, "a malformed key update");
  }
  if (message_[0] != kNewSessionTicket || is_server_) {
    return Broken(SSL_AD_UNEXPECTED_MESSAGE, "a handshake message out of turn");
  }
  if (message_left_ == 0) return Broken(SSL_AD_DECODE_ERROR, "an empty session ticket");
  if (message_left_ > kMaxMessageBytes) return Broken(SSL_AD_ILLEGAL_PARAMETER, "a session ticket that is too long");
  return {};
}

TlsRecords::Opened TlsRecords::FollowKeyUpdate(uint8_t request) {
  if (request != kUpdateNotRequested && request != kUpdateRequested) {
    return Broken(SSL_AD_ILLEGAL_PARAMETER, "a malformed key update");
  }
  if (!UpdateKey(&read_)) {
    ERR_clear_error();
    return Broken(SSL_AD_INTERNAL_ERROR, "no key could be derived");
  }
  // However often it asks before our next record, one answer serves (section 4.6.3).
  if (request == kUpdateRequested) answer_due_ = true;
  return {};
}

}  // namespace lanyard
