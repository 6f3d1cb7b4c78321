#include "proxy/io/buffer_pool.h"

#include <cstring>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(Buffer, BorrowsABlockOnlyWhileItHoldsBytes) {
  BufferPool pool(1024);
  Buffer buffer(&pool);
  EXPECT_EQ(pool.lent(), 0u);
  std::memcpy(buffer.space().data(), "abc", 3);
  buffer.Produced(3);
  buffer.Trim();
  EXPECT_EQ(pool.lent(), 1u);
  EXPECT_EQ(std::memcmp(buffer.content().data(), "abc", 3), 0);
  buffer.Consumed(3);
  EXPECT_TRUE(buffer.empty());
  buffer.Trim();
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(Buffer, MovesItsContentToTheFrontForRoom) {
  BufferPool pool(8);
  Buffer buffer(&pool);
  std::memcpy(buffer.space().data(), "abcdefgh", 8);
  buffer.Produced(8);
  buffer.Consumed(5);
  EXPECT_EQ(buffer.room(), 0u);
  buffer.MoveToFront();
  EXPECT_EQ(buffer.room(), 5u);
  EXPECT_EQ(buffer.size(), 3u);
  EXPECT_EQ(std::memcmp(buffer.content().data(), "fgh", 3), 0);
}

TEST(Buffer, HoldsNoMoreThanItsLimit) {
  BufferPool pool(1024);
  Buffer buffer(&pool, 100);
  EXPECT_EQ(buffer.space().size(), 100u);
  buffer.Produced(60);
  EXPECT_EQ(buffer.room(), 40u);
  EXPECT_EQ(Buffer(&pool, 5000).limit(), 1024u) << "never more than a block";
}

TEST(Buffer, AdoptsAnothersBytesWithoutCopying) {
  BufferPool pool(64);
  Buffer from(&pool), to(&pool);
  from.space()[0] = 7;
  from.Produced(1);
  const uint8_t* where = from.content().data();
  to.Adopt(from);
  EXPECT_EQ(to.content().data(), where);
  EXPECT_TRUE(from.empty());
  EXPECT_EQ(pool.lent(), 1u);
}

TEST(BufferPool, GetsBackWhatIsDestroyed) {
  BufferPool pool(64, 1);
  {
    Buffer a(&pool), b(&pool);
    a.space();
    b.space();
    EXPECT_EQ(pool.lent(), 2u);
  }
  EXPECT_EQ(pool.lent(), 0u);
}

}  // namespace
}  // namespace lanyard
