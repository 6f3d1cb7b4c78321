#include "proxy/mesh/mesh_view.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

SocketAddress Address(const std::string& text) { return SocketAddress::Parse(text).value(); }

std::vector<AddressBlock> Blocks(const std::vector<std::string>& texts) {
  std::vector<AddressBlock> blocks;
  for (const std::string& text : texts) blocks.push_back(AddressBlock::Parse(text).value());
  return blocks;
}

InboundPolicy Allowing(const std::string& rule) {
  return InboundPolicy::Create({{rule, {}, {PeerPattern::Parse("spiffe://td/*").value()}, false}}).value();
}

TEST(RouteTable, WithoutRoutesEverythingIsRefused) {
  EXPECT_EQ(RouteTable().Find(Address("10.0.0.1:80")).action, RouteAction::kRefuse);
}

TEST(RouteTable, FirstMatchInOrderWins) {
  const RouteTable table({{"narrow", Blocks({"10.1.0.0/16"}), {80}, RouteAction::kMutualTls, {}},
                          {"wide", Blocks({"10.0.0.0/8"}), {}, RouteAction::kPassThrough, {}}},
                         {"default", {}, {}, RouteAction::kRefuse, {}});
  EXPECT_EQ(table.Find(Address("10.1.2.3:80")).name, "narrow");
  EXPECT_EQ(table.Find(Address("10.1.2.3:81")).name, "wide");
  EXPECT_EQ(table.Find(Address("10.2.2.3:80")).name, "wide");
  EXPECT_EQ(table.Find(Address("11.0.0.1:80")).name, "default");
}

TEST(RouteTable, AnEmptyListMeansAny) {
  const RouteTable table({{"port", {}, {443, 8443}, RouteAction::kMutualTls, {}},
                          {"v6", Blocks({"fd00::/64"}), {}, RouteAction::kMutualTls, {}}},
                         {"default", {}, {}, RouteAction::kPassThrough, {}});
  EXPECT_EQ(table.Find(Address("[2001:db8::1]:8443")).name, "port");
  EXPECT_EQ(table.Find(Address("[fd00::9]:1")).name, "v6");
  EXPECT_EQ(table.Find(Address("[fd01::9]:1")).name, "default");
  EXPECT_EQ(table.Find(Address("[fd01::9]:1")).action, RouteAction::kPassThrough);
}

TEST(RouteTable, AMappedAddressMatchesIPv4Blocks) {
  const RouteTable table({{"v4", Blocks({"10.0.0.0/8"}), {}, RouteAction::kMutualTls, {}}},
                         {"default", {}, {}, RouteAction::kRefuse, {}});
  EXPECT_EQ(table.Find(Address("[::ffff:10.1.2.3]:80")).name, "v4");
}

TEST(MeshView, EachListenerHasItsOwnRules) {
  MeshView view;
  view.routes = RouteTable({}, {"captured", {}, {}, RouteAction::kPassThrough, {}});
  view.inbound = Allowing("captured-in");
  view.listener_routes = {{}, {"static-out", {}, {}, RouteAction::kMutualTls, {}}};
  view.listener_policies = {InboundPolicy(), InboundPolicy(), Allowing("static-in")};
  const SocketAddress any = Address("10.0.0.1:80");
  EXPECT_EQ(view.RouteFor(7, ListenerKind::kOutboundCapture, any).name, "captured");
  EXPECT_EQ(view.RouteFor(1, ListenerKind::kOutboundStatic, any).name, "static-out");
  EXPECT_EQ(view.PolicyFor(7, ListenerKind::kInboundCapture).rules().front().name, "captured-in");
  EXPECT_EQ(view.PolicyFor(2, ListenerKind::kInboundStatic).rules().front().name, "static-in");
}

TEST(MeshView, AListenerWithoutRulesLetsNothingThrough) {
  const MeshView view;
  const SocketAddress any = Address("10.0.0.1:80");
  EXPECT_EQ(view.RouteFor(0, ListenerKind::kOutboundStatic, any).action, RouteAction::kRefuse);
  EXPECT_EQ(view.RouteFor(0, ListenerKind::kInboundStatic, any).action, RouteAction::kRefuse);
  EXPECT_EQ(view.RouteFor(0, ListenerKind::kOutboundCapture, any).action, RouteAction::kRefuse);
  for (const ListenerKind kind :
       {ListenerKind::kInboundStatic, ListenerKind::kInboundCapture, ListenerKind::kOutboundStatic}) {
    EXPECT_TRUE(view.PolicyFor(3, kind).rules().empty());
  }
}

TEST(ListenerSpec, TheFirstHeaderThatHoldsForAPortIsItsServers) {
  ListenerSpec spec{"in", ListenerKind::kInboundCapture, Address(":15006"), ""};
  EXPECT_EQ(spec.HeaderFor(80), ProxyProtocol::kNone);
  spec.server_headers = {{{80, 81}, ProxyProtocol::kV1}, {{81, 82}, ProxyProtocol::kV2}};
  EXPECT_EQ(spec.HeaderFor(80), ProxyProtocol::kV1);
  EXPECT_EQ(spec.HeaderFor(81), ProxyProtocol::kV1);
  EXPECT_EQ(spec.HeaderFor(82), ProxyProtocol::kV2);
  EXPECT_EQ(spec.HeaderFor(83), ProxyProtocol::kNone);
  spec.server_headers.push_back({{}, ProxyProtocol::kV2});
  EXPECT_EQ(spec.HeaderFor(83), ProxyProtocol::kV2);
}

}  // namespace
}  // namespace lanyard
