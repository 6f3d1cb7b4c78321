#include "identity/cli/capture_rules.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

template <typename Item>
std::vector<Item> Parse(std::initializer_list<const char*> texts) {
  std::vector<Item> items;
  for (const char* text : texts) items.push_back(Item::Parse(text).value());
  return items;
}

TEST(CaptureRulesTest, TheWholeRuleSet) {
  CaptureRules rules;
  rules.proxy_uid = 1337;
  EXPECT_EQ(CaptureUpScript(rules), R"(add table inet lanyard
delete table inet lanyard
table inet lanyard {
  chain output {
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    tcp flags & (fin | syn | rst | ack) != syn return
    meta skuid 1337 return
    fib daddr type local return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    meta l4proto tcp counter redirect to :15001
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    meta l4proto != tcp return
    tcp flags & (fin | syn | rst | ack) != syn return
    iif lo return
    fib daddr type != local return
    tcp dport { 15001, 15006 } return
    meta l4proto tcp counter redirect to :15006
  }
  chain guard {
    type filter hook input priority 0; policy accept;
    iif lo return
    tcp dport { 15001, 15006 } ct state new ct status & dnat == 0 counter drop
  }
}
)");
}

TEST(CaptureRulesTest, DownIsTheStartOfUp) { EXPECT_THAT(CaptureUpScript({}), StartsWith(CaptureDownScript())); }

TEST(CaptureRulesTest, PortsOfTheTwoDirectionsAreKeptApart) {
  CaptureRules rules;
  rules.include_outbound_ports = Parse<PortRange>({"80", "8000-8100"});
  rules.exclude_inbound_ports = Parse<PortRange>({"22"});
  const std::string script = CaptureUpScript(rules);
  EXPECT_THAT(script, HasSubstr("set include_outbound_ports {\n    type inet_service; flags interval; auto-merge;\n"
                                "    elements = { 80, 8000-8100 }\n"));
  EXPECT_THAT(script, HasSubstr("tcp dport != @include_outbound_ports return"));
  EXPECT_THAT(script, HasSubstr("tcp dport @exclude_inbound_ports return"));
  EXPECT_THAT(script, Not(HasSubstr("include_inbound")));
  EXPECT_THAT(script, Not(HasSubstr("exclude_outbound")));
}

TEST(CaptureRulesTest, NetworksGoToTheSetOfTheirFamily) {
  CaptureRules rules;
  rules.exclude_cidrs = Parse<Cidr>({"10.0.0.0/8", "fd00::/8", "192.0.2.1"});
  const std::string script = CaptureUpScript(rules);
  EXPECT_THAT(script, HasSubstr("elements = { 10.0.0.0/8, 192.0.2.1/32 }"));
  EXPECT_THAT(script, HasSubstr("elements = { fd00::/8 }"));
  EXPECT_THAT(script, HasSubstr("    ip daddr @exclude_ipv4 return\n    ip6 daddr @exclude_ipv6 return\n"));
}

TEST(CaptureRulesTest, IncludingNetworksOfOneFamilyLeavesTheOtherAlone) {
  CaptureRules rules;
  rules.include_cidrs = Parse<Cidr>({"10.0.0.0/8"});
  const std::string script = CaptureUpScript(rules);
  EXPECT_THAT(script, HasSubstr("    ip daddr != @include_ipv4 return\n    meta nfproto ipv6 return\n"));
}

TEST(CaptureRulesTest, OtherUsersAreExemptOnOutputOnly) {
  CaptureRules rules;
  rules.proxy_uid = 1;
  rules.excluded_uids = {0, 7};
  EXPECT_THAT(CaptureUpScript(rules),
              HasSubstr("    meta skuid 1 return\n    meta skuid 0 return\n    meta skuid 7 return\n"));
}

TEST(PortRangeTest, RefusesWhatIsNoPort) {
  for (const char* text : {"", "0", "65536", "http", "-1", "1-", "-", "90-80", "80;drop"}) {
    EXPECT_FALSE(PortRange::Parse(text).ok()) << text;
  }
  EXPECT_EQ(PortRange::Parse("80-80")->ToString(), "80");
  EXPECT_EQ(PortRange::Parse("1-65535")->ToString(), "1-65535");
}

TEST(CidrTest, RefusesWhatIsNoNetwork) {
  for (const char* text :
       {"", "10.0.0.0/33", "fd00::/129", "10.0.0", "example.org/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 }", "/8"}) {
    EXPECT_FALSE(Cidr::Parse(text).ok()) << text;
  }
  EXPECT_EQ(Cidr::Parse("fd00::1")->ToString(), "fd00::1/128");
  EXPECT_TRUE(Cidr::Parse("::/0")->is_v6());
}

}  // namespace
}  // namespace lanyard
