#include "identity/authority/authority_proto.h"

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

TEST(AuthorityProtoTest, ANodeSeesItsEntriesAndNoOthers) {
  AuthorityParts parts;
  const SpiffeId one = *AgentId(parts.trust_domain, "n1");
  const Entry everywhere = parts.CreateEntry("/everywhere");
  const Entry here = parts.CreateEntry("/here", one.ToString(), absl::Seconds(90));
  parts.CreateEntry("/there", "spiffe://example.org/lanyard/agent/n2");
  const auto state = NodeStateToProto(*parts.registry->snapshot(), one);
  EXPECT_EQ(state.revision(), parts.registry->snapshot()->revision);
  ASSERT_EQ(state.entries_size(), 2);
  for (const auto& entry : state.entries()) {
    const Entry& known = entry.id() == here.id() ? here : everywhere;
    EXPECT_EQ(entry.id(), known.id());
    EXPECT_EQ(entry.spiffe_id(), known.spiffe_id().ToString());
    EXPECT_EQ(entry.x509_svid_ttl_seconds(), absl::ToInt64Seconds(known.x509_svid_ttl()));
    ASSERT_EQ(entry.selectors_size(), 1);
    EXPECT_EQ(entry.selectors(0), "unix:uid:1000");
  }
  ASSERT_EQ(state.bundles_size(), 1);
  EXPECT_EQ(state.bundles(0).trust_domain(), "example.org");
  ASSERT_EQ(state.bundles(0).authorities_size(), 1);
  EXPECT_EQ(state.bundles(0).authorities(0), parts.registry->snapshot()->bundle.authorities()[0].der());
}

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
