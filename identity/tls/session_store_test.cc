#include "identity/tls/session_store.h"

#include <openssl/ssl.h>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

class SessionStoreTest : public testing::Test {
 protected:
  bssl::UniquePtr<SSL_SESSION> NewSession() { return bssl::UniquePtr<SSL_SESSION>(SSL_SESSION_new(ctx_.get())); }
  const absl::Time now_ = absl::FromUnixSeconds(1000);
  const absl::Time later_ = now_ + absl::Minutes(1);
  bssl::UniquePtr<SSL_CTX> ctx_{SSL_CTX_new(TLS_with_buffers_method())};
};

TEST_F(SessionStoreTest, TheNewestOfTheKeyComesOutOnce) {
  SessionStore store(10, 10);
  bssl::UniquePtr<SSL_SESSION> older = NewSession(), newer = NewSession();
  SSL_SESSION* const newest = newer.get();
  store.Put("a", std::move(older), later_);
  store.Put("a", std::move(newer), later_);
  EXPECT_EQ(store.Take("b", now_), nullptr);
  EXPECT_EQ(store.Take("a", now_).get(), newest);
  EXPECT_NE(store.Take("a", now_), nullptr);
  EXPECT_EQ(store.Take("a", now_), nullptr);
  EXPECT_EQ(store.size(), 0u);
}

TEST_F(SessionStoreTest, SessionsOfExpiredServersAreDropped) {
  SessionStore store(10, 10);
  store.Put("a", NewSession(), now_ - absl::Seconds(1));
  store.Put("a", NewSession(), now_ - absl::Seconds(2));
  EXPECT_EQ(store.Take("a", now_), nullptr);
  EXPECT_EQ(store.size(), 0u);
}

TEST_F(SessionStoreTest, BothLimitsDropTheOldest) {
  SessionStore store(3, 2);
  for (int i = 0; i < 3; ++i) store.Put("a", NewSession(), later_);
  EXPECT_EQ(store.size(), 2u);
  store.Put("b", NewSession(), later_);
  store.Put("c", NewSession(), later_);
  EXPECT_EQ(store.size(), 3u);
  EXPECT_NE(store.Take("a", now_), nullptr);
  EXPECT_EQ(store.Take("a", now_), nullptr);
  EXPECT_NE(store.Take("b", now_), nullptr);
  EXPECT_NE(store.Take("c", now_), nullptr);
}

TEST_F(SessionStoreTest, AStoreWithoutRoomKeepsNothing) {
  SessionStore store(0, 8);
  store.Put("a", NewSession(), later_);
  EXPECT_EQ(store.size(), 0u);
}

}  // namespace
}  // namespace lanyard
