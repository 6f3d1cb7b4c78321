#include "tests/bench/aead.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "proxy/tls/record_aead.h"
#include "tests/bench/load.h"
#include "tests/bench/sockets.h"

namespace lanyard::bench {
namespace {

constexpr size_t kMostPlaintext = 16384;
constexpr size_t kTypeBytes = 1;  // the inner content type
constexpr size_t kRecordsAtATime = 64;

uint64_t ThreadCpuNs() {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
}

class Record {
 public:
  explicit Record(size_t plaintext_bytes) : text_(plaintext_bytes + kTypeBytes, 'x') {
    static constexpr uint8_t kKey[16] = {1};
    if (!aead_.SetKey(EVP_aead_aes_128_gcm(), kKey)) Die("AES-128-GCM cannot be had");
  }

  // Each record under a nonce of its own, as TLS does.
  void SealAndOpen() {
    ++sequence_;
    memcpy(nonce_, &sequence_, sizeof sequence_);
    if (!aead_.Seal(nonce_, header_, absl::MakeSpan(text_), tag_) ||
        !aead_.Open(nonce_, header_, absl::MakeSpan(text_), tag_)) {
      Die("a record could not be sealed and opened");
    }
  }

  bool Intact() const {
    return std::all_of(text_.begin(), text_.end(), [](uint8_t byte) { return byte == 'x'; });
  }

 private:
  RecordAead aead_;
  std::vector<uint8_t> text_;
  uint8_t tag_[RecordAead::kTagBytes] = {};
  uint8_t nonce_[RecordAead::kNonceBytes] = {};
  uint8_t header_[RecordAead::kHeaderBytes] = {23, 3, 3, 0, 0};
  uint64_t sequence_ = 0;
};

}  // namespace

double SealAndOpenNs(size_t plaintext_bytes, uint64_t least_ns) {
  if (plaintext_bytes > kMostPlaintext) Die("a TLS record holds at most 16384 bytes");
  Record record(plaintext_bytes);
  for (size_t i = 0; i < kRecordsAtATime; ++i) record.SealAndOpen();  // caches warm
  uint64_t records = 0;
  uint64_t spent_ns = 0;
  const uint64_t begin_ns = ThreadCpuNs();
  while (spent_ns < least_ns) {
    for (size_t i = 0; i < kRecordsAtATime; ++i) record.SealAndOpen();
    records += kRecordsAtATime;
    spent_ns = ThreadCpuNs() - begin_ns;
  }
  if (!record.Intact()) Die("what was opened is not what was sealed");
  return records == 0 ? 0 : static_cast<double>(spent_ns) / static_cast<double>(records);
}

void RunAead() {
  constexpr uint64_t kLeastNs = 200'000'000;
  printf("{\"record_64_ns\": %.1f, \"record_4096_ns\": %.1f, \"record_16384_ns\": %.1f}\n",
         SealAndOpenNs(64, kLeastNs), SealAndOpenNs(4096, kLeastNs), SealAndOpenNs(kMostPlaintext, kLeastNs));
}

}  // namespace lanyard::bench
