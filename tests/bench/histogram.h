// Latencies counted in buckets no wider than 1/64 of their value: 64 buckets for each power of two.
// Not thread-safe. Values are nanoseconds, from 0 to 2^63.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lanyard::bench {

class Histogram {
 public:
  void Add(uint64_t value_ns);

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }

  // The value that `percent` of all values do not exceed (a bucket's upper end, at most max_ns());
  // 0 while empty.
  uint64_t PercentileNs(double percent) const;

 private:
  static constexpr int kSubBits = 6;
  static constexpr size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  static size_t BucketOf(uint64_t value_ns);
  static uint64_t UpperEndNs(size_t bucket);

  std::array<uint64_t, kBuckets> buckets_ = {};
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace lanyard::bench
