#include "tests/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace lanyard::bench {

size_t Histogram::BucketOf(uint64_t value_ns) {
  constexpr uint64_t kLinear = uint64_t{1} << kSubBits;
  if (value_ns < kLinear) return value_ns;
  const int shift = std::bit_width(value_ns) - 1 - kSubBits;
  return (static_cast<size_t>(shift + 1) << kSubBits) + ((value_ns >> shift) - kLinear);
}

uint64_t Histogram::UpperEndNs(size_t bucket) {
  constexpr uint64_t kLinear = uint64_t{1} << kSubBits;
  if (bucket < kLinear) return bucket;
  const int shift = static_cast<int>(bucket >> kSubBits) - 1;
  const uint64_t mantissa = kLinear + (bucket & (kLinear - 1));
  return ((mantissa + 1) << shift) - 1;
}

void Histogram::Add(uint64_t value_ns) {
  ++buckets_[BucketOf(value_ns)];
  ++count_;
  max_ns_ = std::max(max_ns_, value_ns);
}

uint64_t Histogram::PercentileNs(double percent) const {
  const uint64_t wanted = static_cast<uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen > 0 && seen >= wanted) return std::min(UpperEndNs(bucket), max_ns_);
  }
  return 0;
}

}  // namespace lanyard::bench
