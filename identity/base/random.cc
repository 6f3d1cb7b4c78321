#include "identity/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace lanyard {
namespace {

class KernelRandom : public Random {
 public:
  void Fill(absl::Span<uint8_t> out) override {
    size_t filled = 0;
    while (filled < out.size()) {
      const ssize_t got = getrandom(out.data() + filled, out.size() - filled, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) abort();
      filled += static_cast<size_t>(got);
    }
  }
};

}  // namespace

double Random::Uniform() {
  uint64_t bits = 0;
  Fill(absl::MakeSpan(reinterpret_cast<uint8_t*>(&bits), sizeof(bits)));
  // 53 bits are what a double holds exactly, so the result never rounds up to 1.
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

std::string Random::Hex(size_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  Fill(absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
  return absl::BytesToHexString(bytes);
}

Random& SystemRandom() {
  static KernelRandom* const random = new KernelRandom;
  return *random;
}

}  // namespace lanyard
