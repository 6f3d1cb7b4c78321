#include "identity/authority/authority_proto.h"

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(AuthorityProtoTest, AChainIsDerLeafFirst) {
  AuthorityParts parts;
  const auto chain = *parts.issuer->SignWorkload(parts.CreateEntry("/web"), NewCsr());
  const auto svid = SvidToProto(chain);
  ASSERT_EQ(svid.chain_size(), 2);
  EXPECT_EQ(svid.chain(0), chain[0].der());
  EXPECT_EQ(svid.chain(1), chain[1].der());
}

}  // namespace
}  // namespace lanyard
