#include "identity/agent/binary_hash.h"

#include <errno.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr size_t kReadSizeBytes = 256 << 10;

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec; }

absl::StatusOr<std::string> HashWholeFile(int fd) {
  SHA256_CTX context;
  SHA256_Init(&context);
  std::vector<uint8_t> buffer(kReadSizeBytes);
  for (off_t offset = 0;;) {
    const ssize_t size = pread(fd, buffer.data(), buffer.size(), offset);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, "cannot read a caller's binary");
    if (size == 0) break;
    SHA256_Update(&context, buffer.data(), static_cast<size_t>(size));
    offset += size;
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<uint8_t*>(digest.data()), &context);
  return absl::BytesToHexString(digest);
}

}  // namespace

BinaryHash::Key BinaryHash::KeyOf(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim), Nanoseconds(info.st_ctim)};
}

absl::StatusOr<std::string> BinaryHash::Sha256Of(int fd) {
  struct stat before;
  if (fstat(fd, &before) != 0) return absl::ErrnoToStatus(errno, "cannot look at a caller's binary");
  if (!S_ISREG(before.st_mode)) return absl::InvalidArgumentError("a caller's binary is not a regular file");
  if (before.st_size > size_limit_bytes_) {
    return absl::OutOfRangeError(absl::StrCat("a caller's binary of ", before.st_size, " bytes is larger than ",
                                              size_limit_bytes_, " and is not hashed"));
  }
  const Key key = KeyOf(before);
  {
    absl::MutexLock lock(&mutex_);
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return found->sha256;
    }
    ++files_read_;
  }
  absl::StatusOr<std::string> sha256 = HashWholeFile(fd);
  if (!sha256.ok()) return sha256;
  struct stat after;
  if (fstat(fd, &after) != 0 || KeyOf(after) != key) {
    return absl::AbortedError("a caller's binary changed while it was read");
  }
  absl::MutexLock lock(&mutex_);
  entries_.push_front({key, *sha256});
  if (entries_.size() > max_entries_) entries_.pop_back();
  return sha256;
}

size_t BinaryHash::entries() const {
  absl::MutexLock lock(&mutex_);
  return entries_.size();
}

uint64_t BinaryHash::files_read() const {
  absl::MutexLock lock(&mutex_);
  return files_read_;
}

}  // namespace lanyard
