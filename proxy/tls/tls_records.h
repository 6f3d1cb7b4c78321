// Record protection of TLS 1.3 for a connection that BoringSSL has opened, in place and without allocation.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "proxy/tls/record_aead.h"

namespace lanyard {

inline constexpr size_t kMaxRecordBytes = 16384;  // of plaintext, RFC 8446 section 5.1

// RFC 8446 sections 5 and 4.6, of one connection, both ways: BoringSSL's own record layer copies each record twice and
// allocates for it. Key updates are followed, and answered before the next record of ours; ours are due after
// kRecordsPerKey. Session tickets that come now are left unused. Whatever else BoringSSL refuses is refused here, with
// the same alerts. No I/O; for one thread at a time. Keys are wiped when it is destroyed.
class TlsRecords {
 public:
  static constexpr size_t kHeaderBytes = RecordAead::kHeaderBytes;
  // What a sealed record adds to its content: header, inner type, tag.
  static constexpr size_t kOverheadBytes = kHeaderBytes + 1 + RecordAead::kTagBytes;
  // The most that Seal writes beside the content: a key update goes before the record.
  static constexpr size_t kMostBesideContent = 2 * kOverheadBytes + 5;
  static constexpr size_t kMaxWireBytes = kHeaderBytes + kMaxRecordBytes + 256;  // section 5.2
  static constexpr uint64_t kRecordsPerKey = 1 << 24;                            // section 5.5, AES-GCM
  // Records without data, less those with some that came since: nobody keeps us busy with nothing. BoringSSL bounds
  // consecutive ones, so that a byte now and then would pay for any number of key updates.
  static constexpr int kMaxRecordsWithoutData = 32;

  enum Type : uint8_t { kAlert = 21, kHandshake = 22, kData = 23 };  // section 5.1

  // Takes over where `ssl` stands, which must be open, hold nothing that it received or has still to send, and neither
  // read nor write from now on: two writers with one key would betray it. Null: its cipher suite is not known here.
  static std::unique_ptr<TlsRecords> TakeOver(const SSL* ssl);
  // From the secrets of section 7.1, each at its record number 0; null as above, or if they do not fit the suite.
  static std::unique_ptr<TlsRecords> Create(uint16_t cipher_suite, bool is_server,
                                            absl::Span<const uint8_t> read_secret,
                                            absl::Span<const uint8_t> write_secret);
  ~TlsRecords();
  TlsRecords(const TlsRecords&) = delete;
  TlsRecords& operator=(const TlsRecords&) = delete;

  // How long the record at the front of what was received is, or 0: too little to tell. More than kMaxWireBytes is
  // refused by Open, which need not wait for all of it.
  static size_t WireBytes(absl::Span<const uint8_t> received) {
    return received.size() < kHeaderBytes ? 0 : kHeaderBytes + (size_t{received[3]} << 8 | received[4]);
  }

  enum class Kind : uint8_t {
    kData,     // `data`, not empty
    kNothing,  // go on with the next record
    kEnd,      // close_notify
    kAlert,    // the peer's, fatal: `alert`
    kBroken,   // send `alert`; `why` is one phrase for a log
  };
  struct Opened {
    Kind kind = Kind::kNothing;
    uint8_t alert = 0;
    const char* why = "";
    absl::Span<uint8_t> data;  // within the record
  };
  // Opens a whole record in place. Nothing may be opened after kEnd, kAlert or kBroken.
  Opened Open(absl::Span<uint8_t> record);

  // Writes a record of `head` and then `body`, at most kMaxRecordBytes together, to `out`, which has room for both and
  // kMostBesideContent. `head` and `body` do not overlap it. 0: failed, and nothing may be sealed any more.
  size_t Seal(Type type, absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, uint8_t* out);

  // For tests, which cannot wait for 16 million records.
  void set_records_per_key(uint64_t count) { records_per_key_ = count; }

 private:
  static constexpr size_t kNonceBytes = RecordAead::kNonceBytes;
  static constexpr size_t kMaxSecretBytes = 48;

  struct Suite {
    const EVP_AEAD* aead;
    const EVP_MD* digest;
    size_t secret_bytes;
  };
  // One way.
  struct Protection {
    RecordAead aead;
    uint64_t record_number = 0;
    std::array<uint8_t, kNonceBytes> iv{};
    std::array<uint8_t, kMaxSecretBytes> secret{};
  };

  TlsRecords(const Suite& suite, bool is_server) : suite_(suite), is_server_(is_server) {}
  static bool SuiteOf(uint16_t cipher_suite, Suite* suite);
  bool SetSecret(Protection* protection, absl::Span<const uint8_t> secret);
  bool UpdateKey(Protection* protection);
  static void NonceOf(const Protection& protection, uint8_t* nonce);

  size_t SealOne(Type type, absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, uint8_t* out);
  Opened OpenContent(uint8_t type, absl::Span<uint8_t> content);
  Opened OpenAlert(absl::Span<const uint8_t> content) const;
  Opened OpenHandshake(absl::Span<const uint8_t> content);
  Opened BeginMessage();
  Opened FollowKeyUpdate(uint8_t request);

  const Suite suite_;
  const bool is_server_;
  bool answer_due_ = false;             // the peer asked for a key update
  int records_without_data_ = 0;
  uint64_t records_per_key_ = kRecordsPerKey;
  std::array<uint8_t, 4> message_{};    // header of a handshake message that is not complete
  uint8_t message_filled_ = 0;
  uint32_t message_left_ = 0;
  Protection read_;
  Protection write_;
};

}  // namespace lanyard
