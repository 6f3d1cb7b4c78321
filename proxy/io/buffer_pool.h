// Blocks of memory lent to connections while data flows through them, so that an idle one holds none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace lanyard {

// For one thread. The last block returned is the next one lent: it is still in the processor's cache.
class BufferPool {
 public:
  // Blocks beyond `max_free` unused ones go back to the allocator.
  explicit BufferPool(size_t block_bytes, size_t max_free = 16) : block_bytes_(block_bytes), max_free_(max_free) {}

  size_t block_bytes() const { return block_bytes_; }
  size_t lent() const { return lent_; }
  // Memory is short: those who read ahead into a block of it read no more than they need now.
  bool frugal() const { return frugal_; }
  void set_frugal(bool frugal) { frugal_ = frugal; }

 private:
  friend class Buffer;
  std::unique_ptr<uint8_t[]> Take() {
    ++lent_;
    if (free_.empty()) return std::unique_ptr<uint8_t[]>(new uint8_t[block_bytes_]);  // not zeroed
    std::unique_ptr<uint8_t[]> block = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  void Return(std::unique_ptr<uint8_t[]> block) {
    --lent_;
    if (free_.size() < max_free_) free_.push_back(std::move(block));
  }

  size_t block_bytes_;
  size_t max_free_;
  size_t lent_ = 0;
  bool frugal_ = false;
  std::vector<std::unique_ptr<uint8_t[]>> free_;
};

// A queue of bytes in one block, which it borrows at the first use and returns when emptied by Trim.
class Buffer {
 public:
  // `limit_bytes` (0: the block) bounds what it holds.
  explicit Buffer(BufferPool* pool, size_t limit_bytes = 0)
      : pool_(pool),
        limit_(limit_bytes == 0 || limit_bytes > pool->block_bytes() ? pool->block_bytes() : limit_bytes) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Drop(); }

  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  size_t limit() const { return limit_; }
  size_t room() const { return end_ < limit_ ? limit_ - end_ : 0; }
  bool holds_block() const { return block_ != nullptr; }
  bool frugal() const { return pool_->frugal(); }
  absl::Span<const uint8_t> content() const { return {block_.get() + begin_, size()}; }
  absl::Span<uint8_t> content() { return {block_.get() + begin_, size()}; }
  // Where the next bytes go; borrows a block.
  absl::Span<uint8_t> space() {
    if (block_ == nullptr) block_ = pool_->Take();
    return {block_.get() + end_, room()};
  }
  void Produced(size_t size_bytes) { end_ += size_bytes; }
  void Consumed(size_t size_bytes) {
    begin_ += size_bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // All that the block has beside the content becomes room.
  void MoveToFront() {
    if (begin_ == 0) return;
    std::memmove(block_.get(), block_.get() + begin_, size());
    end_ -= std::exchange(begin_, 0);
  }
  // Returns the block if nothing is in it.
  void Trim() {
    if (block_ != nullptr && empty()) Drop();
  }
  void Drop() {
    if (block_ != nullptr) pool_->Return(std::move(block_));
    begin_ = end_ = 0;
  }
  // Takes over the other's content, even beyond this one's limit; of the same pool.
  void Adopt(Buffer& other) {
    Drop();
    block_ = std::move(other.block_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }

 private:
  BufferPool* pool_;
  size_t limit_;
  std::unique_ptr<uint8_t[]> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace lanyard
