#include "proxy/control/mesh_view_proto.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

mesh::v1::View View() {
  mesh::v1::View view;
  view.set_version(7);
  view.set_has_rules(true);
  view.add_spiffe_ids("spiffe://td/web");
  view.set_spiffe_id("spiffe://td/web");
  mesh::v1::InboundRule* const rule = view.mutable_inbound()->add_rules();
  rule->set_name("shop/callers");
  rule->add_peers("spiffe://td/shop");
  mesh::v1::Route* const route = view.add_routes();
  route->set_name("out/db");
  route->add_destinations("10.0.0.0/8");
  route->set_action(mesh::v1::MUTUAL_TLS);
  route->add_peers("spiffe://td/db");
  view.add_bans()->set_spiffe_id("spiffe://td/mallory");
  return view;
}

TEST(MeshViewProto, AViewIsReadWhole) {
  const auto update = ReadView(View());
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ((*update)->version, 7u);
  EXPECT_TRUE((*update)->has_rules);
  EXPECT_EQ((*update)->spiffe_ids.at(0).ToString(), "spiffe://td/web");
  EXPECT_EQ((*update)->spiffe_id, *SpiffeId::Parse("spiffe://td/web"));
  EXPECT_EQ((*update)->inbound.rules().at(0).name, "shop/callers");
  EXPECT_EQ((*update)->routes.at(0).name, "out/db");
  EXPECT_EQ((*update)->bans.at(0).subject.ToString(), "spiffe://td/mallory");
  const auto again = ParseView((*update)->bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->bytes, (*update)->bytes);
}

TEST(MeshViewProto, EveryMistakeRefusesItAndAllAreNamed) {
  mesh::v1::View view = View();
  view.set_spiffe_ids(0, "web");
  view.set_spiffe_id("shown");
  view.mutable_inbound()->mutable_rules(0)->set_peers(0, "shop");
  view.mutable_routes(0)->add_ports(70000);
  view.add_bans();
  const auto update = ReadView(view);
  EXPECT_TRUE(absl::IsInvalidArgument(update.status()));
  for (const char* path : {"spiffe_ids[0]", "spiffe_id: ", "inbound.rules[0].peers[0]",
                           "routes[0].ports[0]", "bans[1]"}) {
    EXPECT_THAT(std::string(update.status().message()), HasSubstr(path));
  }
}

TEST(MeshViewProto, AnOlderAgentDoesNotSayWhoseRulesItSends) {
  mesh::v1::View view = View();
  view.clear_spiffe_id();
  const auto update = ReadView(view);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_FALSE((*update)->spiffe_id.has_value());
}

TEST(MeshViewProto, ContentIsEqualWhateverTheVersion) {
  mesh::v1::View later = View();
  later.set_version(8);
  later.set_wants_observed(true);
  EXPECT_EQ((*ReadView(View()))->content, (*ReadView(later))->content);
  later.add_bans()->set_serial("0a");
  EXPECT_NE((*ReadView(View()))->content, (*ReadView(later))->content);
}

TEST(MeshViewProto, BytesThatAreNoViewAreDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(ParseView("\xff\xff\xff").status()));
}

TEST(MeshViewProto, AStatusIsCutToWhatTheAgentTakes) {
  ProxyStatus status;
  status.view_version = 3;
  status.refused_view_error = "line\none" + std::string(1000, 'x');
  status.not_after = absl::FromUnixSeconds(99);
  const mesh::v1::ProxyStatus proto = ToProto(status);
  EXPECT_EQ(proto.view_version(), 3u);
  EXPECT_EQ(proto.not_after_unix(), 99);
  EXPECT_FALSE(proto.version().empty());
  EXPECT_THAT(proto.refused_view_error(), HasSubstr("line one"));
  EXPECT_EQ(proto.refused_view_error().size(), 512u);
}

TEST(MeshViewProto, WhatWasObservedIsCutToWhatTheAgentTakes) {
  ObservedReport report{absl::FromUnixSeconds(99), {}, 2};
  ObservedCall call;
  call.direction = "outbound";
  call.local_id = "spiffe://td/shop";
  call.destination = "10.0.0.7:80";
  call.port = 80;
  call.allowed = true;
  call.rule = "mesh";
  call.count = 3;
  call.last_seen = absl::FromUnixSeconds(98);
  report.calls.assign(300, call);
  const mesh::v1::Observed proto = ToProto(report);
  EXPECT_EQ(proto.at_unix(), 99);
  ASSERT_EQ(proto.calls_size(), 256);
  EXPECT_EQ(proto.left_out(), 2u + 44u);
  EXPECT_FALSE(proto.calls(0).inbound());
  EXPECT_EQ(proto.calls(0).destination(), "10.0.0.7:80");
  EXPECT_EQ(proto.calls(0).last_seen_unix(), 98);
  EXPECT_EQ(proto.calls(0).count(), 3u);
}

}  // namespace
}  // namespace lanyard
