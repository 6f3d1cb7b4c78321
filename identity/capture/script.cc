#include "identity/capture/script.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

// Only a connection's first packet decides. Without this a connection older than the rules would be
// taken for a new one at its next packet, because connection tracking starts with the rules.
constexpr char kFirstPacketOnly[] = "tcp flags & (fin | syn | rst | ack) != syn return";
constexpr char kNftCgroupRoot[] = "/sys/fs/cgroup";  // where nft looks its cgroups up

constexpr char kTakeOutbound[] = "take_outbound";
constexpr char kTakeInbound[] = "take_inbound";
constexpr char kRefuseInbound[] = "refuse_inbound";
constexpr char kRefuseUdp[] = "refuse_udp";

std::string Hex(uint32_t mark) { return absl::StrFormat("0x%x", mark); }

// A named set; the kernel's side merges what overlaps.
template <typename Item>
std::string Set(absl::string_view name, absl::string_view type, const std::vector<Item>& items) {
  if (items.empty()) return "";
  const auto append = [](std::string* out, const Item& item) { absl::StrAppend(out, item.ToString()); };
  return absl::StrCat("  set ", name, " {\n    type ", type, "; flags interval; auto-merge;\n    elements = { ",
                      absl::StrJoin(items, ", ", append), " }\n  }\n");
}

class Chain {
 public:
  explicit Chain(absl::string_view name) { absl::StrAppend(&text_, "  chain ", name, " {\n"); }
  Chain(absl::string_view name, absl::string_view head) : Chain(name) { Rule(head); }
  void Rule(absl::string_view rule) { absl::StrAppend(&text_, "    ", rule, "\n"); }
  std::string End() { return absl::StrCat(text_, "  }\n"); }

 private:
  std::string text_;
};

std::vector<Cidr> OfFamily(const std::vector<Cidr>& cidrs, bool v6) {
  std::vector<Cidr> chosen;
  for (const Cidr& cidr : cidrs) {
    if (cidr.is_v6() == v6) chosen.push_back(cidr);
  }
  return chosen;
}

std::string Sets(const CaptureRules& rules) {
  return absl::StrCat(Set("exclude_outbound_ports", "inet_service", rules.exclude_outbound_ports),
                      Set("include_outbound_ports", "inet_service", rules.include_outbound_ports),
                      Set("exclude_inbound_ports", "inet_service", rules.exclude_inbound_ports),
                      Set("include_inbound_ports", "inet_service", rules.include_inbound_ports),
                      Set("exclude_ipv4", "ipv4_addr", OfFamily(rules.exclude_cidrs, false)),
                      Set("include_ipv4", "ipv4_addr", OfFamily(rules.include_cidrs, false)),
                      Set("exclude_ipv6", "ipv6_addr", OfFamily(rules.exclude_cidrs, true)),
                      Set("include_ipv6", "ipv6_addr", OfFamily(rules.include_cidrs, true)));
}

// The chains of one set of rules.
class Writer {
 public:
  Writer(const CaptureRules& rules, absl::string_view cgroup_mount) : rules_(rules), cgroup_mount_(cgroup_mount) {}

  std::string Table() const {
    return absl::StrCat("table ", kCaptureTable, " {\n", Sets(rules_), Notes(), Takers(), Output(), Prerouting(),
                        rules_.preserve_source ? ReturnPath() : "", rules_.udp == UdpPolicy::kRefuse ? Udp() : "",
                        Guard(), "}\n");
  }

 private:
  std::string Notes() const {
    Chain chain(kNotesChain);
    chain.Rule(absl::StrCat("return comment \"", kShapeNote, " ", kCaptureShape, "\""));
    for (const std::string& word : WordsOf(rules_)) chain.Rule(absl::StrCat("return comment \"", word, "\""));
    return chain.End();
  }

  bool tproxy() const { return rules_.mode == CaptureMode::kTproxy; }

  std::string CapturePorts() const {
    return absl::StrCat("tcp dport { ", rules_.outbound_port, ", ", rules_.inbound_port, " }");
  }

  // What becomes of a connection that is captured.
  std::string Takers() const {
    Chain outbound(kTakeOutbound), inbound(kTakeInbound);
    if (!tproxy()) {
      outbound.Rule(absl::StrCat("meta l4proto tcp counter redirect to :", rules_.outbound_port));
      inbound.Rule(absl::StrCat("meta l4proto tcp counter redirect to :", rules_.inbound_port));
      return absl::StrCat(outbound.End(), inbound.End());
    }
    // Routed again for the mark, it comes back by the loopback interface, where prerouting takes it.
    outbound.Rule(absl::StrCat("ct mark set ", Hex(kOutboundConnectionMark)));
    outbound.Rule(absl::StrCat("meta mark set ", Hex(kDeliverHereMark), " counter"));
    inbound.Rule(absl::StrCat("ct mark set ", Hex(kInboundConnectionMark), " counter"));
    inbound.Rule("goto deliver_inbound");
    return absl::StrCat(Deliver("deliver_outbound", rules_.outbound_port),
                        Deliver("deliver_inbound", rules_.inbound_port), outbound.End(), inbound.End());
  }

  // Without a socket to deliver to, tproxy does nothing, and the packet would reach the server past the proxy.
  static std::string Deliver(const char* name, uint16_t port) {
    Chain chain(name);
    chain.Rule(absl::StrCat("meta l4proto tcp tproxy to :", port, " accept"));
    chain.Rule("meta l4proto tcp counter reject with tcp reset");
    return chain.End();
  }

  std::string Output() const {
    Chain chain("output", tproxy() ? "type route hook output priority -150; policy accept;"
                                   : "type nat hook output priority -100; policy accept;");
    chain.Rule("meta l4proto != tcp return");
    if (tproxy()) {  // a later packet of a connection that was taken
      chain.Rule(absl::StrCat("ct direction original ct mark ", Hex(kOutboundConnectionMark), " meta mark set ",
                              Hex(kDeliverHereMark), " return"));
    }
    chain.Rule(kFirstPacketOnly);
    AddOutboundFilters(chain, "tcp", kTakeOutbound);
    return chain.End();
  }

  std::string Prerouting() const {
    Chain chain("prerouting", tproxy() ? "type filter hook prerouting priority -150; policy accept;"
                                       : "type nat hook prerouting priority -100; policy accept;");
    chain.Rule("meta l4proto != tcp return");
    if (tproxy()) {
      chain.Rule(absl::StrCat("iif lo ct direction original ct mark ", Hex(kOutboundConnectionMark),
                              " goto deliver_outbound"));
      chain.Rule("iif lo return");
      chain.Rule(absl::StrCat("ct direction original ct mark ", Hex(kInboundConnectionMark), " goto deliver_inbound"));
      chain.Rule(kFirstPacketOnly);
    } else {
      chain.Rule(kFirstPacketOnly);
      chain.Rule("iif lo return");
    }
    // The kernel drops it too, from outside, but not once it has another destination.
    chain.Rule("ip daddr 127.0.0.0/8 drop");
    chain.Rule("fib daddr type != local return");  // what this machine only forwards
    AddInbound(chain, kTakeInbound);
    return chain.End();
  }

  void AddInbound(Chain& chain, absl::string_view target) const {
    chain.Rule(absl::StrCat(CapturePorts(), " return"));
    AddPorts(chain, "tcp", "inbound", !rules_.include_inbound_ports.empty(), !rules_.exclude_inbound_ports.empty());
    // The socket that listens for it is the server's.
    for (const Cgroup& cgroup : rules_.exclude_cgroups) chain.Rule(absl::StrCat(Match(cgroup), " return"));
    AddTake(chain, {}, target);
  }

  // The proxy called a server of this machine from its caller's address. The answers would leave for the caller.
  std::string ReturnPath() const {
    Chain chain("return_path", "type route hook output priority -150; policy accept;");
    chain.Rule("meta l4proto != tcp return");
    chain.Rule(absl::StrCat("ct direction reply ct mark ", Hex(kPreservedConnectionMark), " meta mark set ",
                            Hex(kDeliverHereMark), " return"));
    chain.Rule(kFirstPacketOnly);
    chain.Rule(absl::StrCat("meta skuid ", rules_.proxy_uid,
                            " fib saddr type != local fib daddr type local ct mark set ",
                            Hex(kPreservedConnectionMark), " counter"));
    return chain.End();
  }

  // A protocol over UDP that has another over TCP (HTTP/3) goes on with that one.
  std::string Udp() const {
    Chain refuse(kRefuseUdp);
    refuse.Rule("counter reject with icmpx type port-unreachable");
    Chain chain("udp_output", "type filter hook output priority 0; policy accept;");
    chain.Rule("meta l4proto != udp return");
    chain.Rule("ct direction reply return");  // what a server here answers
    AddOutboundFilters(chain, "udp", kRefuseUdp);
    return absl::StrCat(refuse.End(), chain.End());
  }

  // From outside, the proxy's capture ports are reached by capture only: dialled directly, the outbound one
  // would lend this workload's identity to strangers. And what is to be captured was not, if it still has its own port:
  // translation is decided once for a connection as the kernel tracks it, which a forged packet may have begun.
  std::string Guard() const {
    Chain refuse(kRefuseInbound), chain("guard", "type filter hook input priority 0; policy accept;");
    chain.Rule("iif lo return");
    chain.Rule(absl::StrCat(CapturePorts(), " ct state new ct status & dnat == 0 counter drop"));
    if (tproxy()) return chain.End();
    refuse.Rule("meta l4proto tcp counter reject with tcp reset");
    chain.Rule("meta l4proto != tcp return");
    chain.Rule(kFirstPacketOnly);
    AddInbound(chain, kRefuseInbound);
    return absl::StrCat(refuse.End(), chain.End());
  }

  void AddOutboundFilters(Chain& chain, absl::string_view protocol, absl::string_view target) const {
    chain.Rule(absl::StrCat("meta skuid ", rules_.proxy_uid, " return"));
    for (const uid_t uid : rules_.exclude_uids) chain.Rule(absl::StrCat("meta skuid ", uid, " return"));
    for (const gid_t gid : rules_.exclude_gids) chain.Rule(absl::StrCat("meta skgid ", gid, " return"));
    for (const Cgroup& cgroup : rules_.exclude_cgroups) chain.Rule(absl::StrCat(Match(cgroup), " return"));
    chain.Rule("fib daddr type local return");  // loopback, and this machine's own addresses
    chain.Rule("ip daddr 127.0.0.0/8 return");
    chain.Rule("ip6 daddr ::1 return");
    // The proxy carries no UDP, so names are asked for over UDP in any case.
    if (rules_.dns == DnsPolicy::kPass || protocol == "udp") chain.Rule(absl::StrCat(protocol, " dport 53 return"));
    AddCidrs(chain);
    AddPorts(chain, protocol, "outbound", !rules_.include_outbound_ports.empty(),
             !rules_.exclude_outbound_ports.empty());
    std::vector<std::string> who;
    for (const uid_t uid : rules_.include_uids) who.push_back(absl::StrCat("meta skuid ", uid));
    for (const gid_t gid : rules_.include_gids) who.push_back(absl::StrCat("meta skgid ", gid));
    AddTake(chain, std::move(who), target);
  }

  void AddCidrs(Chain& chain) const {
    for (const bool v6 : {false, true}) {
      const std::string destination = v6 ? "ip6 daddr" : "ip daddr";
      const std::string family = v6 ? "ipv6" : "ipv4";
      if (!OfFamily(rules_.exclude_cidrs, v6).empty()) {
        chain.Rule(absl::StrCat(destination, " @exclude_", family, " return"));
      }
      if (!OfFamily(rules_.include_cidrs, v6).empty()) {
        chain.Rule(absl::StrCat(destination, " != @include_", family, " return"));
      } else if (!rules_.include_cidrs.empty()) {
        chain.Rule(absl::StrCat("meta nfproto ", family, " return"));  // only the other family was named
      }
    }
  }

  static void AddPorts(Chain& chain, absl::string_view protocol, absl::string_view direction, bool include,
                       bool exclude) {
    if (exclude) chain.Rule(absl::StrCat(protocol, " dport @exclude_", direction, "_ports return"));
    if (include) chain.Rule(absl::StrCat(protocol, " dport != @include_", direction, "_ports return"));
  }

  // What is left is taken: all of it, or what one of these matches. Only what is matched goes: a packet whose
  // socket the kernel cannot tell matches neither "is" nor "is not".
  void AddTake(Chain& chain, std::vector<std::string> who, absl::string_view target) const {
    for (const Cgroup& cgroup : rules_.include_cgroups) who.push_back(Match(cgroup));
    if (who.empty()) return chain.Rule(absl::StrCat("goto ", target));
    for (const std::string& match : who) chain.Rule(absl::StrCat(match, " goto ", target));
  }

  std::string Match(const Cgroup& cgroup) const {
    return absl::StrCat("socket cgroupv2 level ", cgroup.level(), " \"", NftPath(cgroup), "\"");
  }

  // nft wants a path below /sys/fs/cgroup, wherever the hierarchy is mounted.
  std::string NftPath(const Cgroup& cgroup) const {
    absl::string_view mount = cgroup_mount_;
    std::string up;
    if (!absl::ConsumePrefix(&mount, kNftCgroupRoot)) up = "../../..";
    const absl::string_view below = absl::StripPrefix(mount, "/");
    return absl::StrCat(up, up.empty() ? "" : "/", below, below.empty() ? "" : "/", cgroup.ToString());
  }

  const CaptureRules& rules_;
  const absl::string_view cgroup_mount_;
};

}  // namespace

std::string CaptureUpScript(const CaptureRules& rules, absl::string_view cgroup_mount) {
  // Adding first makes the deletion succeed on the first run too.
  return absl::StrCat(CaptureDownScript(), Writer(rules, cgroup_mount).Table());
}

std::string CaptureDownScript() {
  return absl::StrCat("add table ", kCaptureTable, "\ndelete table ", kCaptureTable, "\n");
}

bool NeedsPolicyRoutes(const CaptureRules& rules) {
  return rules.mode == CaptureMode::kTproxy || rules.preserve_source;
}

}  // namespace lanyard
