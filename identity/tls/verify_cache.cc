#include "identity/tls/verify_cache.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <cstring>
#include <list>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace lanyard {
namespace {

// Each part is preceded by its length, so that two different lists never give the same bytes.
void HashPart(SHA256_CTX* hash, const void* data, uint64_t size_bytes) {
  SHA256_Update(hash, &size_bytes, sizeof(size_bytes));
  SHA256_Update(hash, data, size_bytes);
}

std::string KeyOf(const STACK_OF(CRYPTO_BUFFER)* chain, const std::string& bundle_version) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  HashPart(&hash, bundle_version.data(), bundle_version.size());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    const CRYPTO_BUFFER* certificate = sk_CRYPTO_BUFFER_value(chain, i);
    HashPart(&hash, CRYPTO_BUFFER_data(certificate), CRYPTO_BUFFER_len(certificate));
  }
  std::string key(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<uint8_t*>(key.data()), &hash);
  return key;
}

absl::StatusOr<VerifiedSvid> VerifyInFull(const STACK_OF(CRYPTO_BUFFER)* chain, const BundleSet& bundles,
                                          absl::Time now) {
  if (sk_CRYPTO_BUFFER_num(chain) > Certificate::kMaxChainLength) {
    return SvidError(SvidDefect::kMalformed,
                     absl::StrCat("the peer sent ", sk_CRYPTO_BUFFER_num(chain),
                                  " certificates, more than the limit of ", Certificate::kMaxChainLength));
  }
  std::vector<Certificate> certificates;
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    const CRYPTO_BUFFER* der = sk_CRYPTO_BUFFER_value(chain, i);
    absl::StatusOr<Certificate> certificate =
        Certificate::Parse(absl::MakeConstSpan(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der)));
    if (!certificate.ok()) {
      return SvidError(SvidDefect::kMalformed, absl::StrCat("the peer's certificate number ", i + 1, " is malformed: ",
                                                            certificate.status().message()));
    }
    certificates.push_back(*std::move(certificate));
  }
  return VerifySvid(certificates, bundles, now);
}

}  // namespace

struct VerifyCache::State {
  struct Entry {
    std::string key;
    std::shared_ptr<const VerifiedSvid> svid;
  };
  struct KeyHash {
    // The key is a SHA-256 already.
    size_t operator()(absl::string_view key) const {
      size_t hash;
      std::memcpy(&hash, key.data(), sizeof(hash));
      return hash;
    }
  };

  explicit State(size_t max) : max_entries(max) {}

  const size_t max_entries;
  mutable absl::Mutex mutex;
  std::list<Entry> entries ABSL_GUARDED_BY(mutex);  // most recently used first
  // The views point into the list's nodes, which never move.
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator, KeyHash> index ABSL_GUARDED_BY(mutex);
  Stats stats ABSL_GUARDED_BY(mutex);

  std::shared_ptr<const VerifiedSvid> Find(const std::string& key, absl::Time now) {
    absl::MutexLock lock(&mutex);
    const auto found = index.find(key);
    if (found == index.end() || now < found->second->svid->not_before || now > found->second->svid->not_after) {
      ++stats.misses;
      return nullptr;
    }
    ++stats.hits;
    entries.splice(entries.begin(), entries, found->second);
    return found->second->svid;
  }

  void Insert(std::string key, std::shared_ptr<const VerifiedSvid> svid) {
    absl::MutexLock lock(&mutex);
    if (const auto found = index.find(key); found != index.end()) {
      found->second->svid = std::move(svid);
      return;
    }
    entries.push_front({std::move(key), std::move(svid)});
    index.emplace(entries.front().key, entries.begin());
    if (entries.size() <= max_entries) return;
    index.erase(entries.back().key);
    entries.pop_back();
    ++stats.evictions;
  }
};

VerifyCache::VerifyCache(size_t max_entries) : state_(std::make_unique<State>(max_entries)) {}
VerifyCache::~VerifyCache() = default;

absl::StatusOr<std::shared_ptr<const VerifiedSvid>> VerifyCache::Verify(const STACK_OF(CRYPTO_BUFFER)* chain,
                                                                        const BundleSet& bundles,
                                                                        const std::string& bundle_version,
                                                                        absl::Time now) {
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0) {
    return SvidError(SvidDefect::kMalformed, "the peer sent no certificate");
  }
  std::string key = KeyOf(chain, bundle_version);
  if (std::shared_ptr<const VerifiedSvid> known = state_->Find(key, now)) return known;
  // Without the lock: other peers' handshakes go on meanwhile.
  absl::StatusOr<VerifiedSvid> verified = VerifyInFull(chain, bundles, now);
  if (!verified.ok()) return verified.status();
  auto svid = std::make_shared<const VerifiedSvid>(*std::move(verified));
  state_->Insert(std::move(key), svid);
  return svid;
}

VerifyCache::Stats VerifyCache::stats() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->stats;
}

}  // namespace lanyard
