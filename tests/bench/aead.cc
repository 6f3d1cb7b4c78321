#include "tests/bench/aead.h"

#include <openssl/aead.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/bench/load.h"
#include "tests/bench/sockets.h"

namespace lanyard::bench {
namespace {

constexpr size_t kMostPlaintext = 16384;
constexpr size_t kHeaderBytes = 5;   // of a record: its additional data
constexpr size_t kTypeBytes = 1;     // the inner content type
constexpr size_t kTagBytes = 16;
constexpr size_t kRecordsAtATime = 64;

uint64_t ThreadCpuNs() {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
}

class Record {
 public:
  explicit Record(size_t plaintext_bytes)
      : plain_(plaintext_bytes + kTypeBytes, 'x'), sealed_(plain_.size() + kTagBytes) {
    static constexpr uint8_t kKey[16] = {1};
    if (!EVP_AEAD_CTX_init(context_.get(), EVP_aead_aes_128_gcm(), kKey, sizeof kKey, kTagBytes, nullptr)) {
      Die("AES-128-GCM cannot be had");
    }
  }

  // Each record under a nonce of its own, as TLS does.
  void SealAndOpen() {
    ++sequence_;
    memcpy(nonce_, &sequence_, sizeof sequence_);
    size_t size = 0;
    if (!EVP_AEAD_CTX_seal(context_.get(), sealed_.data(), &size, sealed_.size(), nonce_, sizeof nonce_, plain_.data(),
                           plain_.size(), header_, kHeaderBytes) ||
        !EVP_AEAD_CTX_open(context_.get(), sealed_.data(), &size, sealed_.size(), nonce_, sizeof nonce_,
                           sealed_.data(), size, header_, kHeaderBytes)) {
      Die("a record could not be sealed and opened");
    }
  }

  bool Intact() const { return std::equal(plain_.begin(), plain_.end(), sealed_.begin()); }

 private:
  bssl::ScopedEVP_AEAD_CTX context_;
  std::vector<uint8_t> plain_;
  std::vector<uint8_t> sealed_;
  uint8_t nonce_[12] = {};
  uint8_t header_[kHeaderBytes] = {23, 3, 3, 0, 0};
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
