#include "identity/agent/saved_state_proto.h"

#include <gtest/gtest.h>

#include "api/lanyard/mesh/mesh.pb.h"
#include "identity/agent/fake_authority.h"
#include "identity/base/fake_clock.h"

namespace lanyard {
namespace {

class SavedStateProtoTest : public testing::Test {
 protected:
  FakeClock clock_;
  FakeAuthority authority_{clock_};
};

TEST_F(SavedStateProtoTest, ANodeComesBackWhole) {
  const NodeIdentity node{authority_.Mint("spiffe://example.org/lanyard/agent/n1", absl::Hours(1)),
                          authority_.bundles(), clock_.Now()};
  const auto back = DecodeNode(EncodeNode(node).bytes());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->svid.chain(), node.svid.chain());
  EXPECT_EQ(back->svid.key().public_key_der(), node.svid.key().public_key_der());
  EXPECT_EQ(back->bundles, node.bundles);
  EXPECT_EQ(back->obtained_at, node.obtained_at);
}

TEST_F(SavedStateProtoTest, WorkloadsComeBackWhole) {
  KeptWorkloads kept;
  kept.state = {7, {{.id = "e1", .spiffe_id = *SpiffeId::Parse("spiffe://example.org/web"),
                     .selectors = {"unix:uid:1", "unix:gid:2"}, .x509_svid_ttl_seconds = 20,
                     .dns_names = {"web.example.org"}, .hint = "internal"},
                    {.id = "e2", .spiffe_id = *SpiffeId::Parse("spiffe://example.org/db"), .selectors = {},
                     .dns_names = {}, .hint = ""}},
                authority_.bundles(),
                std::make_shared<const NodeMesh>(NodeMesh{
                    .version = 9, .rules = {{"p", {*PeerPattern::Parse("spiffe://example.org/*")}, "\x01\xff"}},
                    .bans = "\x02"})};
  kept.svids.push_back({"e1", authority_.Mint("spiffe://example.org/web", absl::Hours(1)), clock_.Now()});
  const auto back = DecodeWorkloads(EncodeWorkloads(kept).bytes());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->state.revision, 7u);
  EXPECT_EQ(back->state.entries, kept.state.entries);
  EXPECT_EQ(back->state.bundles, kept.state.bundles);
  ASSERT_NE(back->state.mesh, nullptr);
  EXPECT_EQ(*back->state.mesh, *kept.state.mesh);
  ASSERT_EQ(back->svids.size(), 1u);
  EXPECT_EQ(back->svids[0].entry_id, "e1");
  EXPECT_EQ(back->svids[0].svid.chain(), kept.svids[0].svid.chain());
  EXPECT_EQ(back->svids[0].obtained_at, clock_.Now());
}

TEST_F(SavedStateProtoTest, BansHoldAfterARestart) {
  mesh::v1::View bans;
  bans.add_bans()->set_spiffe_id("spiffe://example.org/web");
  bans.mutable_bans(0)->mutable_created_at()->set_seconds(1);
  KeptWorkloads kept;
  kept.state.bundles = authority_.bundles();
  kept.state.mesh = std::make_shared<const NodeMesh>(
      NodeMesh{.version = 9, .rules = {}, .bans = bans.SerializeAsString(), .ban_set = {}});
  const auto back = DecodeWorkloads(EncodeWorkloads(kept).bytes());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_NE(back->state.mesh->ban_set.FindId(*SpiffeId::Parse("spiffe://example.org/web"), clock_.Now()), nullptr);
}

TEST_F(SavedStateProtoTest, NothingKnownOfTheMeshStaysNothing) {
  KeptWorkloads kept;
  kept.state.bundles = authority_.bundles();
  const auto back = DecodeWorkloads(EncodeWorkloads(kept).bytes());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->state.mesh, nullptr);
}

TEST_F(SavedStateProtoTest, BytesOfAnotherKindAreDataLoss) {
  const std::string bytes = "no such message \xff\xff\xff";
  const absl::Span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  EXPECT_TRUE(absl::IsDataLoss(DecodeNode(span).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeWorkloads(span).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeNode({}).status()));
}

}  // namespace
}  // namespace lanyard
