// How much the relays of one worker may hold for receivers that are slow.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "proxy/io/buffer_pool.h"

namespace lanyard {

// What is counted are bytes read from one side that the other has not taken when the relay goes on to other work: a
// stream whose receiver keeps up holds none. While the whole is below the limit a direction reads as much as its buffer
// takes. From there on it reads kLeastBytes at a time, and only when what it read before is gone, as ever. So nothing
// is dropped, the one that holds most gets nothing more until its receiver has taken it, and those whose receivers
// keep up are served on, more slowly: nobody who does not read can make others wait. For the worker's thread.
class BufferBudget {
 public:
  // Set aside for every direction of every connection.
  static constexpr size_t kLeastBytes = 2048;
  static constexpr uint64_t LeastOf(uint64_t connections) { return 2 * kLeastBytes * connections; }

  // Of `limit_bytes` what `connections` have set aside is left for all. `on_limit` is told each time that a read is
  // cut down. At the limit `pool` is frugal, so that TLS streams read no more than a record ahead.
  BufferBudget(BufferPool* pool, uint64_t limit_bytes, uint64_t connections, std::function<void()> on_limit)
      : pool_(pool),
        shared_bytes_(limit_bytes - std::min(limit_bytes, LeastOf(connections))),
        on_limit_(std::move(on_limit)) {}

  // How much of `room` a direction that holds nothing may read.
  size_t MayRead(size_t room) const {
    if (held_bytes_ + room <= shared_bytes_ || room <= kLeastBytes) return room;
    on_limit_();
    return held_bytes_ + kLeastBytes < shared_bytes_ ? static_cast<size_t>(shared_bytes_ - held_bytes_) : kLeastBytes;
  }
  // A direction held `before`, and holds `after` now.
  void Changed(size_t before, size_t after) {
    held_bytes_ += Shared(after) - Shared(before);
    pool_->set_frugal(held_bytes_ + kLeastBytes >= shared_bytes_);
  }
  uint64_t held_bytes() const { return held_bytes_; }  // beyond what is set aside

 private:
  static uint64_t Shared(size_t held) { return held > kLeastBytes ? held - kLeastBytes : 0; }

  BufferPool* pool_;
  const uint64_t shared_bytes_;
  uint64_t held_bytes_ = 0;
  std::function<void()> on_limit_;
};

}  // namespace lanyard
