#include "identity/capture/script.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

CaptureRules Rules(const std::vector<std::string>& words) { return RulesFromWords(words, {}).value(); }

std::string Script(const std::vector<std::string>& words) { return CaptureUpScript(Rules(words)); }

TEST(CaptureScriptTest, TheWholeOfRedirect) {
  EXPECT_EQ(Script({"--proxy-uid 1337"}), R"(add table inet lanyard
delete table inet lanyard
table inet lanyard {
  chain notes {
    return comment "shape 4"
    return comment "--proxy-uid 1337"
    return comment "--outbound-port 15001"
    return comment "--inbound-port 15006"
  }
  chain take_outbound {
    meta l4proto tcp counter redirect to :15001
  }
  chain take_inbound {
    meta l4proto tcp counter redirect to :15006
  }
  chain output {
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    tcp flags & (fin | syn | rst | ack) != syn return
    meta skuid 1337 return
    fib daddr type local return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    tcp dport 53 return
    goto take_outbound
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    meta l4proto != tcp return
    tcp flags & (fin | syn | rst | ack) != syn return
    iif lo return
    ip daddr 127.0.0.0/8 drop
    fib daddr type != local return
    tcp dport { 15001, 15006 } return
    goto take_inbound
  }
  chain refuse_inbound {
    meta l4proto tcp counter reject with tcp reset
  }
  chain guard {
    type filter hook input priority 0; policy accept;
    iif lo return
    tcp dport { 15001, 15006 } ct state new ct status & dnat == 0 counter drop
    meta l4proto != tcp return
    tcp flags & (fin | syn | rst | ack) != syn return
    tcp dport { 15001, 15006 } return
    goto refuse_inbound
  }
}
)");
}

TEST(CaptureScriptTest, TheWholeOfTproxy) {
  const std::string script = Script({"--mode tproxy", "--proxy-uid 1337", "--preserve-source", "--udp refuse"});
  EXPECT_EQ(script, R"(add table inet lanyard
delete table inet lanyard
table inet lanyard {
  chain notes {
    return comment "shape 4"
    return comment "--mode tproxy"
    return comment "--proxy-uid 1337"
    return comment "--outbound-port 15001"
    return comment "--inbound-port 15006"
    return comment "--preserve-source"
    return comment "--udp refuse"
  }
  chain deliver_outbound {
    meta l4proto tcp tproxy to :15001 accept
    meta l4proto tcp counter reject with tcp reset
  }
  chain deliver_inbound {
    meta l4proto tcp tproxy to :15006 accept
    meta l4proto tcp counter reject with tcp reset
  }
  chain take_outbound {
    ct mark set 0x4c
    meta mark set 0x4c counter
  }
  chain take_inbound {
    ct mark set 0x4e counter
    goto deliver_inbound
  }
  chain output {
    type route hook output priority -150; policy accept;
    meta l4proto != tcp return
    ct direction original ct mark 0x4c meta mark set 0x4c return
    tcp flags & (fin | syn | rst | ack) != syn return
    meta skuid 1337 return
    fib daddr type local return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    tcp dport 53 return
    goto take_outbound
  }
  chain prerouting {
    type filter hook prerouting priority -150; policy accept;
    meta l4proto != tcp return
    iif lo ct direction original ct mark 0x4c goto deliver_outbound
    iif lo return
    ct direction original ct mark 0x4e goto deliver_inbound
    tcp flags & (fin | syn | rst | ack) != syn return
    ip daddr 127.0.0.0/8 drop
    fib daddr type != local return
    tcp dport { 15001, 15006 } return
    goto take_inbound
  }
  chain return_path {
    type route hook output priority -150; policy accept;
    meta l4proto != tcp return
    ct direction reply ct mark 0x4d meta mark set 0x4c return
    tcp flags & (fin | syn | rst | ack) != syn return
    meta skuid 1337 fib saddr type != local fib daddr type local ct mark set 0x4d counter
  }
  chain refuse_udp {
    counter reject with icmpx type port-unreachable
  }
  chain udp_output {
    type filter hook output priority 0; policy accept;
    meta l4proto != udp return
    ct direction reply return
    meta skuid 1337 return
    fib daddr type local return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    udp dport 53 return
    goto refuse_udp
  }
  chain guard {
    type filter hook input priority 0; policy accept;
    iif lo return
    tcp dport { 15001, 15006 } ct state new ct status & dnat == 0 counter drop
  }
}
)");
}

TEST(CaptureScriptTest, DownIsTheStartOfUp) { EXPECT_THAT(CaptureUpScript({}), StartsWith(CaptureDownScript())); }

TEST(CaptureScriptTest, PortsOfTheTwoDirectionsAreKeptApart) {
  const std::string script = Script(
      {"--include-outbound-ports 80", "--include-outbound-ports 8000-8100", "--exclude-inbound-ports 22"});
  EXPECT_THAT(script, HasSubstr("set include_outbound_ports {\n    type inet_service; flags interval; auto-merge;\n"
                                "    elements = { 80, 8000-8100 }\n"));
  EXPECT_THAT(script, HasSubstr("tcp dport != @include_outbound_ports return"));
  EXPECT_THAT(script, HasSubstr("tcp dport @exclude_inbound_ports return"));
  EXPECT_THAT(script, Not(HasSubstr("@include_inbound")));
  EXPECT_THAT(script, Not(HasSubstr("@exclude_outbound")));
}

TEST(CaptureScriptTest, NetworksGoToTheSetOfTheirFamily) {
  const std::string script = Script(
      {"--exclude-cidrs 10.0.0.0/8", "--exclude-cidrs fd00::/8", "--exclude-cidrs 192.0.2.1"});
  EXPECT_THAT(script, HasSubstr("elements = { 10.0.0.0/8, 192.0.2.1/32 }"));
  EXPECT_THAT(script, HasSubstr("elements = { fd00::/8 }"));
  EXPECT_THAT(script, HasSubstr("    ip daddr @exclude_ipv4 return\n    ip6 daddr @exclude_ipv6 return\n"));
}

TEST(CaptureScriptTest, IncludingNetworksOfOneFamilyLeavesTheOtherAlone) {
  EXPECT_THAT(Script({"--include-cidrs 10.0.0.0/8"}),
              HasSubstr("    ip daddr != @include_ipv4 return\n    meta nfproto ipv6 return\n"));
}

TEST(CaptureScriptTest, OthersAreExemptByUserGroupAndCgroup) {
  const std::string script = Script({"--proxy-uid 1", "--exclude-uids 0", "--exclude-uids 7", "--exclude-gids 8",
                                     "--exclude-cgroups agent.slice"});
  EXPECT_THAT(script, HasSubstr("    meta skuid 1 return\n    meta skuid 0 return\n    meta skuid 7 return\n"
                                "    meta skgid 8 return\n    socket cgroupv2 level 1 \"agent.slice\" return\n"));
  EXPECT_THAT(script, HasSubstr("    socket cgroupv2 level 1 \"agent.slice\" return\n    goto take_inbound\n"));
}

TEST(CaptureScriptTest, WhoIsIncludedIsWhatIsTaken) {
  const std::string script = Script({"--include-uids 5", "--include-gids 6", "--cgroup a/b"});
  EXPECT_THAT(script, HasSubstr("    meta skuid 5 goto take_outbound\n    meta skgid 6 goto take_outbound\n"
                                "    socket cgroupv2 level 2 \"a/b\" goto take_outbound\n  }\n"));
  EXPECT_THAT(script, HasSubstr("    socket cgroupv2 level 2 \"a/b\" goto take_inbound\n  }\n"));
  EXPECT_THAT(script, Not(HasSubstr("    goto take_")));
}

TEST(CaptureScriptTest, ACgroupIsNamedAsNftLooksItUp) {
  const CaptureRules rules = Rules({"--cgroup a"});
  EXPECT_THAT(CaptureUpScript(rules, "/sys/fs/cgroup/unified"), HasSubstr("cgroupv2 level 1 \"unified/a\""));
  EXPECT_THAT(CaptureUpScript(rules, "/mnt/cgroup"), HasSubstr("cgroupv2 level 1 \"../../../mnt/cgroup/a\""));
}

TEST(CaptureScriptTest, NamesAreAskedForWithoutCaptureUnlessItIsAsked) {
  EXPECT_THAT(Script({}), HasSubstr("tcp dport 53 return"));
  const std::string script = Script({"--dns capture", "--udp refuse"});
  EXPECT_THAT(script, Not(HasSubstr("tcp dport 53 return")));
  EXPECT_THAT(script, HasSubstr("udp dport 53 return"));
}

TEST(CaptureScriptTest, UdpIsRefusedWhereTcpWouldBeTaken) {
  const std::string script = Script({"--udp refuse", "--exclude-outbound-ports 123", "--include-uids 5"});
  EXPECT_THAT(script, HasSubstr("    udp dport @exclude_outbound_ports return\n    meta skuid 5 goto refuse_udp\n"));
}

TEST(CaptureScriptTest, WhatLeadsPacketsBackNeedsRoutes) {
  EXPECT_FALSE(NeedsPolicyRoutes(CaptureRules()));
  EXPECT_TRUE(NeedsPolicyRoutes(Rules({"--mode tproxy"})));
  EXPECT_TRUE(NeedsPolicyRoutes(Rules({"--preserve-source"})));
}

}  // namespace
}  // namespace lanyard
