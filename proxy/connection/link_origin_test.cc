#include "proxy/connection/link_origin.h"

#include <openssl/ssl.h>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(LinkOrigin, TravelsWithTheSslAndIsSetOnce) {
  bssl::UniquePtr<SSL_CTX> ctx(SSL_CTX_new(TLS_method()));
  bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get())), other(SSL_new(ctx.get()));
  EXPECT_EQ(LinkOriginOf(ssl.get()), nullptr);
  EXPECT_EQ(LinkOriginOf(nullptr), nullptr);
  const SocketAddress remote = SocketAddress::Parse("10.0.0.1:1").value();
  const SocketAddress local = SocketAddress::Parse("10.0.0.2:2").value();
  ASSERT_TRUE(SetLinkOrigin(ssl.get(), LinkOrigin{.remote = remote, .local = local, .listener = 3}));
  ASSERT_NE(LinkOriginOf(ssl.get()), nullptr);
  EXPECT_EQ(LinkOriginOf(ssl.get())->remote, remote);
  EXPECT_EQ(LinkOriginOf(ssl.get())->local, local);
  EXPECT_EQ(LinkOriginOf(ssl.get())->listener, 3u);
  EXPECT_EQ(LinkOriginOf(other.get()), nullptr);
}

}  // namespace
}  // namespace lanyard
