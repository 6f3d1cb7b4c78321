// Randomness that repeats: the same seed gives the same bytes. For tests only; not secret.
#pragma once

#include <cstdint>
#include <mutex>

#include "absl/types/span.h"
#include "identity/base/random.h"

namespace lanyard {

// Thread-safe.
class FakeRandom : public Random {
 public:
  explicit FakeRandom(uint64_t seed = 1) : state_(seed) {}

  void Fill(absl::Span<uint8_t> out) override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (uint8_t& byte : out) byte = fixed_ ? fixed_byte_ : static_cast<uint8_t>(Next() >> 56);
  }

  // From now on every byte is `byte`: 0x00 makes Uniform() 0, 0xff makes it almost 1.
  void FixBytes(uint8_t byte) {
    std::lock_guard<std::mutex> lock(mutex_);
    fixed_ = true;
    fixed_byte_ = byte;
  }

 private:
  // SplitMix64.
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::mutex mutex_;
  uint64_t state_;
  bool fixed_ = false;
  uint8_t fixed_byte_ = 0;
};

}  // namespace lanyard
