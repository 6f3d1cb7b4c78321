// Randomness as an argument, so that a test can choose it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"

namespace lanyard {

// Thread-safe. Implementations: SystemRandom() and FakeRandom (fake_random.h).
class Random {
 public:
  virtual ~Random() = default;

  // Fills `out` with bytes fit for keys, serials and tokens. Never fails: where the
  // kernel cannot provide them the process aborts, as there is no safe way to go on.
  virtual void Fill(absl::Span<uint8_t> out) = 0;

  // Uniform in [0, 1).
  double Uniform();

  // `size_bytes` random bytes in lower-case hex (2 * size_bytes characters).
  std::string Hex(size_t size_bytes);
};

// The kernel's generator; lives for the whole process.
Random& SystemRandom();

}  // namespace lanyard
