// Bytes that must not leak: locked in memory, left out of core dumps, zeroed when freed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

// Move-only owner of secret bytes. Not thread-safe. Where mlock fails (RLIMIT_MEMLOCK)
// the bytes are still zeroed on free; the failure is logged once a process.
class Secret {
 public:
  Secret() = default;
  explicit Secret(size_t size_bytes);                  // zero-filled
  static Secret CopyOf(absl::Span<const uint8_t> bytes);
  static Secret CopyOf(absl::string_view bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }
  absl::Span<uint8_t> mutable_bytes() { return {data_, size_}; }
  absl::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Overwrites `bytes` in a way the compiler keeps.
void Cleanse(absl::Span<uint8_t> bytes);

}  // namespace lanyard
