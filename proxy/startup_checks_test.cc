#include "proxy/startup_checks.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

ListenerSpec Spec(const std::string& name, ListenerKind kind, const std::string& address) {
  return {name, kind, SocketAddress::Parse(address).value(), ""};
}

ProxySettings With(std::vector<ListenerSpec> listeners) {
  ProxySettings settings;
  settings.listeners = std::move(listeners);
  return settings;
}

TEST(StartupChecks, CapturedAndStaticListenersAreToldApart) {
  const ListenerSpec out = Spec("capture-outbound", ListenerKind::kOutboundCapture, "127.0.0.1:15001");
  const ListenerSpec in = Spec("capture-inbound", ListenerKind::kInboundCapture, "127.0.0.1:15006");
  const ListenerSpec fixed = Spec("web", ListenerKind::kInboundStatic, "127.0.0.1:8443");
  EXPECT_TRUE(Captures(With({out})));
  EXPECT_TRUE(Captures(With({fixed, in})));
  EXPECT_FALSE(Captures(With({fixed})));
  EXPECT_TRUE(HasStaticListeners(With({out, in, fixed})));
  EXPECT_FALSE(HasStaticListeners(With({out, in})));
}

TEST(StartupChecks, OutboundListenersThatOthersReachLendTheIdentity) {
  ListenerSpec named = Spec("balanced", ListenerKind::kOutboundStatic, "10.0.0.1:3");
  named.accepted_header.from = {*AddressBlock::Parse("10.0.0.7/32")};
  const auto lending = ListenersThatLendTheIdentity(
      With({Spec("near", ListenerKind::kOutboundStatic, "127.0.0.1:1"),
            Spec("near6", ListenerKind::kOutboundStatic, "[::1]:1"),
            Spec("far", ListenerKind::kOutboundStatic, "10.0.0.1:1"),
            Spec("all", ListenerKind::kOutboundStatic, "0.0.0.0:2"),
            named, Spec("server", ListenerKind::kInboundStatic, "0.0.0.0:4"),
            Spec("capture-outbound", ListenerKind::kOutboundCapture, "0.0.0.0:15001")}));
  ASSERT_EQ(lending.size(), 2u);
  EXPECT_EQ(lending[0].name, "far");
  EXPECT_EQ(lending[1].name, "all");
}

TEST(StartupChecks, AConnectionTakesTwoDescriptorsAndAnIdleLinkFour) {
  ProxySettings settings;
  settings.limits.max_connections = 1000;
  const uint64_t before = DescriptorsNeeded(settings);
  settings.limits.max_connections = 1500;
  EXPECT_EQ(DescriptorsNeeded(settings), before + 1000);
  settings.limits.max_idle_links += 10;
  EXPECT_EQ(DescriptorsNeeded(settings), before + 1040);
}

TEST(StartupChecks, TheMeshProtocolIsOfferedUnlessItIsSwitchedOff) {
  ProxySettings settings;
  EXPECT_EQ(AlpnOf(settings), std::vector<std::string>{kMeshAlpn});
  settings.mesh_protocol = false;
  EXPECT_TRUE(AlpnOf(settings).empty());
}

}  // namespace
}  // namespace lanyard
