#include "proxy/config_rules.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

SocketAddress Address(const std::string& text) { return SocketAddress::Parse(text).value(); }

mesh::v1::Route NamedRoute(const std::string& name, mesh::v1::RouteAction action) {
  mesh::v1::Route route;
  route.set_name(name);
  route.set_action(action);
  return route;
}

std::string OnlyProblem(const ConfigProblems& problems) {
  if (problems.all().size() != 1) return "not one problem: " + std::string(problems.ToStatus("").message());
  return problems.all()[0].path + ": " + problems.all()[0].message;
}

TEST(AddressesClash, WhenOneSocketWouldTakeTheOthersConnections) {
  EXPECT_TRUE(AddressesClash(Address("127.0.0.1:80"), Address("127.0.0.1:80")));
  EXPECT_TRUE(AddressesClash(Address(":80"), Address("127.0.0.1:80")));
  EXPECT_TRUE(AddressesClash(Address("[::1]:80"), Address(":80")));
  EXPECT_TRUE(AddressesClash(Address("0.0.0.0:80"), Address("10.0.0.1:80")));
  EXPECT_TRUE(AddressesClash(Address("[::]:80"), Address("0.0.0.0:80")));
}

TEST(AddressesClash, NotOnDifferentPortsHostsOrFamilies) {
  EXPECT_FALSE(AddressesClash(Address("127.0.0.1:80"), Address("127.0.0.1:81")));
  EXPECT_FALSE(AddressesClash(Address("127.0.0.1:80"), Address("127.0.0.2:80")));
  EXPECT_FALSE(AddressesClash(Address("0.0.0.0:80"), Address("[::1]:80")));
  EXPECT_FALSE(AddressesClash(Address("127.0.0.1:0"), Address("127.0.0.1:0")));
}

TEST(RoutesFromConfig, KeepsTheOrderAndPassesThroughByDefault) {
  config::ProxyConfig config;
  config.mutable_capture()->set_outbound_address(":15001");
  *config.add_routes() = NamedRoute("first", mesh::v1::REFUSE);
  config.mutable_routes(0)->add_destinations("10.0.0.1");
  *config.add_routes() = NamedRoute("second", mesh::v1::MUTUAL_TLS);
  config.mutable_routes(1)->add_destinations("10.0.0.0/24");
  config.mutable_routes(1)->add_peers("spiffe://td/*");
  ConfigProblems problems;
  const RouteTable table = RoutesFromConfig(config, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(table.Find(Address("10.0.0.1:80")).name, "first");
  EXPECT_EQ(table.Find(Address("10.0.0.2:80")).name, "second");
  EXPECT_EQ(table.Find(Address("10.0.1.1:80")).name, "default");
  EXPECT_EQ(table.Find(Address("10.0.1.1:80")).action, RouteAction::kPassThrough);
}

TEST(RoutesFromConfig, TheDefaultCanRefuse) {
  config::ProxyConfig config;
  config.set_default_route(mesh::v1::REFUSE);
  ConfigProblems problems;
  EXPECT_EQ(RoutesFromConfig(config, problems).Find(Address("10.0.1.1:80")).action, RouteAction::kRefuse);
  EXPECT_TRUE(problems.empty());
}

TEST(RoutesFromConfig, RoutesWithoutCaptureDoNothingAndAreAMistake) {
  config::ProxyConfig config;
  *config.add_routes() = NamedRoute("a", mesh::v1::REFUSE);
  ConfigProblems problems;
  RoutesFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("set capture.outbound_address"));
}

TEST(RoutesFromConfig, TheDefaultRoutesNameIsTaken) {
  config::ProxyConfig config;
  config.mutable_capture()->set_outbound_address(":15001");
  *config.add_routes() = NamedRoute("default", mesh::v1::REFUSE);
  ConfigProblems problems;
  RoutesFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("routes[0].name: \"default\" is taken"));
}

TEST(InboundFromConfig, RulesWithoutCaptureDoNothingAndAreAMistake) {
  config::ProxyConfig config;
  mesh::v1::InboundRule* rule = config.mutable_inbound()->add_rules();
  rule->set_name("a");
  rule->add_peers("spiffe://td/*");
  ConfigProblems problems;
  InboundFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("set capture.inbound_address"));
}

TEST(InboundFromConfig, WithoutRulesNobodyMayCall) {
  ConfigProblems problems;
  EXPECT_TRUE(InboundFromConfig(config::ProxyConfig(), problems).rules().empty());
  EXPECT_TRUE(problems.empty());
}

TEST(ListenersFromConfig, RulesStandAtTheIndexOfTheirListener) {
  config::ProxyConfig config;
  config.mutable_capture()->set_inbound_address(":15006");
  config::Listener* out = config.add_listeners();
  out->set_name("out");
  out->mutable_outbound()->set_address("127.0.0.1:0");
  out->mutable_outbound()->set_destination("[fd00::2]:15008");
  out->mutable_outbound()->add_peers("spiffe://td/web");
  config::Listener* in = config.add_listeners();
  in->set_name("in");
  in->mutable_inbound()->set_address("127.0.0.1:0");
  in->mutable_inbound()->set_destination("localhost:80");
  in->mutable_inbound()->set_allow_plaintext(true);
  ConfigProblems problems;
  const ConfiguredListeners listeners = ListenersFromConfig(config, problems);
  EXPECT_TRUE(problems.empty()) << problems.ToStatus("");
  ASSERT_EQ(listeners.specs.size(), 3u);
  ASSERT_EQ(listeners.routes.size(), 3u);
  ASSERT_EQ(listeners.policies.size(), 3u);
  EXPECT_EQ(listeners.specs[0].name, "capture-inbound");
  EXPECT_EQ(listeners.routes[1].name, "out");
  EXPECT_EQ(listeners.routes[1].action, RouteAction::kMutualTls);
  EXPECT_EQ(listeners.policies[2].rules()[0].name, "in");
}

TEST(ListenersFromConfig, NamesOfTheCaptureListenersAreTaken) {
  config::ProxyConfig config;
  config::Listener* in = config.add_listeners();
  in->set_name("capture-inbound");
  in->mutable_inbound()->set_address("127.0.0.1:1");
  in->mutable_inbound()->set_destination("localhost:80");
  in->mutable_inbound()->add_peers("spiffe://td/*");
  ConfigProblems problems;
  ListenersFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("listeners[0].name: \"capture-inbound\" is taken"));
}

TEST(ListenersFromConfig, TproxyMakesBothCaptureListenersTransparent) {
  config::ProxyConfig config;
  config.mutable_capture()->set_outbound_address(":15001");
  config.mutable_capture()->set_inbound_address(":15006");
  ConfigProblems problems;
  for (const ListenerSpec& spec : ListenersFromConfig(config, problems).specs) {
    EXPECT_FALSE(spec.transparent || spec.preserve_source) << spec.name;
  }
  config.mutable_capture()->set_mode(config::TPROXY);
  config.mutable_capture()->set_preserve_source(true);
  for (const ListenerSpec& spec : ListenersFromConfig(config, problems).specs) {
    EXPECT_TRUE(spec.transparent) << spec.name;
    EXPECT_EQ(spec.preserve_source, spec.kind == ListenerKind::kInboundCapture);
  }
  EXPECT_TRUE(problems.empty());
}

TEST(ListenersFromConfig, WhatIsForCapturedConnectionsNeedsCapture) {
  config::ProxyConfig config;
  config.mutable_capture()->set_preserve_source(true);
  ConfigProblems problems;
  ListenersFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("capture.preserve_source: it is for captured inbound"));
  config.mutable_capture()->set_preserve_source(false);
  config.mutable_capture()->set_mode(config::TPROXY);
  ConfigProblems others;
  ListenersFromConfig(config, others);
  EXPECT_THAT(OnlyProblem(others), HasSubstr("capture.mode: nothing is captured"));
}

config::ProxyConfig WithInbound() {
  config::ProxyConfig config;
  config::Listener& listener = *config.add_listeners();
  listener.set_name("in");
  listener.mutable_inbound()->set_address("127.0.0.1:80");
  listener.mutable_inbound()->set_destination("127.0.0.1:81");
  listener.mutable_inbound()->add_peers("spiffe://td/*");
  return config;
}

TEST(ListenersFromConfig, AHeaderIsAskedForFromNamedCallersInBoundedTime) {
  config::ProxyConfig config = WithInbound();
  auto& accepted = *config.mutable_listeners(0)->mutable_inbound()->mutable_accept_proxy_protocol();
  accepted.add_from("10.0.0.0/24");
  ConfigProblems problems;
  const AcceptedHeader read = ListenersFromConfig(config, problems).specs.at(0).accepted_header;
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(read.from.at(0).ToString(), "10.0.0.0/24");
  EXPECT_EQ(read.timeout, absl::Seconds(5));
  accepted.set_from(0, "anybody");
  accepted.mutable_timeout()->set_seconds(7200);
  ListenersFromConfig(config, problems);
  ASSERT_EQ(problems.all().size(), 2u);
  EXPECT_EQ(problems.all()[0].path, "listeners[0].inbound.accept_proxy_protocol.from[0]");
  EXPECT_EQ(problems.all()[1].path, "listeners[0].inbound.accept_proxy_protocol.timeout");
}

TEST(ListenersFromConfig, AHeaderFromNobodyIsAMistake) {
  config::ProxyConfig config;
  config::Listener& listener = *config.add_listeners();
  listener.set_name("out");
  listener.mutable_outbound()->set_address("127.0.0.1:80");
  listener.mutable_outbound()->set_destination("127.0.0.1:81");
  listener.mutable_outbound()->add_peers("spiffe://td/*");
  listener.mutable_outbound()->mutable_accept_proxy_protocol();
  ConfigProblems problems;
  ListenersFromConfig(config, problems);
  EXPECT_THAT(OnlyProblem(problems), HasSubstr("listeners[0].outbound.accept_proxy_protocol.from: at least one CIDR"));
}

TEST(ListenersFromConfig, ServersAreToldByPortOrByListener) {
  config::ProxyConfig config = WithInbound();
  config.mutable_listeners(0)->mutable_inbound()->set_proxy_protocol(config::V1);
  config.mutable_capture()->set_inbound_address(":15006");
  config::ServerHeader& header = *config.mutable_capture()->add_proxy_protocol();
  header.add_ports(80);
  header.set_version(config::V2);
  ConfigProblems problems;
  const ConfiguredListeners listeners = ListenersFromConfig(config, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(listeners.specs.at(0).HeaderFor(80), ProxyProtocol::kV2);
  EXPECT_EQ(listeners.specs.at(0).HeaderFor(81), ProxyProtocol::kNone);
  EXPECT_EQ(listeners.specs.at(1).HeaderFor(1), ProxyProtocol::kV1);
}

TEST(ListenersFromConfig, EachMistakeOfWhatServersAreToldIsReported) {
  config::ProxyConfig config = WithInbound();
  config.mutable_capture()->add_proxy_protocol()->add_ports(65536);
  ConfigProblems problems;
  ListenersFromConfig(config, problems);
  std::vector<std::string> paths;
  for (const auto& problem : problems.all()) paths.push_back(problem.path);
  EXPECT_THAT(paths, testing::ElementsAre("capture.proxy_protocol[0].version", "capture.proxy_protocol[0].ports[0]",
                                          "capture.proxy_protocol"));
}

}  // namespace
}  // namespace lanyard
