#include "identity/base/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "identity/base/logging.h"

namespace lanyard {
namespace {

size_t PagesFor(size_t size_bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size_bytes + page - 1) / page * page;
}

void WarnOnceNotLocked() {
  static const bool warned = [] {
    Log(LogLevel::kWarning, "cannot lock secrets in memory: raise RLIMIT_MEMLOCK to keep keys out of swap");
    return true;
  }();
  (void)warned;
}

}  // namespace

// Each secret has its own pages: mlock and MADV_DONTDUMP work on pages, and unlocking one
// secret must not unlock another that shares its page.
Secret::Secret(size_t size_bytes) : size_(size_bytes) {
  if (size_bytes == 0) return;
  const size_t length = PagesFor(size_bytes);
  void* pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(pages);
  madvise(pages, length, MADV_DONTDUMP);
  // The system call itself: sanitizers make mlock(3) do nothing, and a test could not see it work.
  if (syscall(SYS_mlock, pages, length) != 0) WarnOnceNotLocked();
}

Secret Secret::CopyOf(absl::Span<const uint8_t> bytes) {
  Secret copy(bytes.size());
  if (!bytes.empty()) memcpy(copy.data_, bytes.data(), bytes.size());
  return copy;
}

Secret Secret::CopyOf(absl::string_view bytes) {
  return CopyOf(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Secret::~Secret() {
  if (data_ == nullptr) return;
  Cleanse(mutable_bytes());
  munmap(data_, PagesFor(size_));
}

void Cleanse(absl::Span<uint8_t> bytes) { explicit_bzero(bytes.data(), bytes.size()); }

}  // namespace lanyard
