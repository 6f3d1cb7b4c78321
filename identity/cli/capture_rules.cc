#include "identity/cli/capture_rules.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lanyard {
namespace {

// Only a connection's first packet decides. Without this a connection older than the rules would be
// taken for a new one at its next packet, because connection tracking starts with the rules.
constexpr char kFirstPacketOnly[] = "tcp flags & (fin | syn | rst | ack) != syn return";

absl::StatusOr<uint16_t> ParsePort(absl::string_view text) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a port; write a number from 1 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

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
  Chain(absl::string_view name, absl::string_view head) {
    absl::StrAppend(&text_, "  chain ", name, " {\n");
    Rule(head);
  }
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

void AddPorts(Chain& chain, absl::string_view direction, bool include, bool exclude) {
  if (exclude) chain.Rule(absl::StrCat("tcp dport @exclude_", direction, "_ports return"));
  if (include) chain.Rule(absl::StrCat("tcp dport != @include_", direction, "_ports return"));
}

void AddCidrs(Chain& chain, const CaptureRules& rules) {
  for (const bool v6 : {false, true}) {
    const std::string destination = v6 ? "ip6 daddr" : "ip daddr";
    const std::string family = v6 ? "ipv6" : "ipv4";
    if (!OfFamily(rules.exclude_cidrs, v6).empty()) {
      chain.Rule(absl::StrCat(destination, " @exclude_", family, " return"));
    }
    if (!OfFamily(rules.include_cidrs, v6).empty()) {
      chain.Rule(absl::StrCat(destination, " != @include_", family, " return"));
    } else if (!rules.include_cidrs.empty()) {
      chain.Rule(absl::StrCat("meta nfproto ", family, " return"));  // only the other family was named
    }
  }
}

std::string OutputChain(const CaptureRules& rules) {
  Chain chain("output", "type nat hook output priority -100; policy accept;");
  chain.Rule("meta l4proto != tcp return");
  chain.Rule(kFirstPacketOnly);
  chain.Rule(absl::StrCat("meta skuid ", rules.proxy_uid, " return"));
  for (const uid_t uid : rules.excluded_uids) chain.Rule(absl::StrCat("meta skuid ", uid, " return"));
  chain.Rule("fib daddr type local return");  // loopback, and this machine's own addresses
  chain.Rule("ip daddr 127.0.0.0/8 return");
  chain.Rule("ip6 daddr ::1 return");
  AddCidrs(chain, rules);
  AddPorts(chain, "outbound", !rules.include_outbound_ports.empty(), !rules.exclude_outbound_ports.empty());
  chain.Rule(absl::StrCat("meta l4proto tcp counter redirect to :", rules.outbound_port));
  return chain.End();
}

std::string PreroutingChain(const CaptureRules& rules) {
  Chain chain("prerouting", "type nat hook prerouting priority -100; policy accept;");
  chain.Rule("meta l4proto != tcp return");
  chain.Rule(kFirstPacketOnly);
  chain.Rule("iif lo return");
  chain.Rule("fib daddr type != local return");  // what this machine only forwards
  chain.Rule(absl::StrCat("tcp dport { ", rules.outbound_port, ", ", rules.inbound_port, " } return"));
  AddPorts(chain, "inbound", !rules.include_inbound_ports.empty(), !rules.exclude_inbound_ports.empty());
  chain.Rule(absl::StrCat("meta l4proto tcp counter redirect to :", rules.inbound_port));
  return chain.End();
}

// From outside, the proxy's capture ports are reached by redirection only: dialled directly, the outbound one
// would lend this workload's identity to strangers.
std::string GuardChain(const CaptureRules& rules) {
  Chain chain("guard", "type filter hook input priority 0; policy accept;");
  chain.Rule("iif lo return");
  chain.Rule(absl::StrCat("tcp dport { ", rules.outbound_port, ", ", rules.inbound_port,
                          " } ct state new ct status & dnat == 0 counter drop"));
  return chain.End();
}

}  // namespace

absl::StatusOr<PortRange> PortRange::Parse(absl::string_view text) {
  const size_t dash = text.find('-');
  const absl::StatusOr<uint16_t> first = ParsePort(text.substr(0, dash));
  if (!first.ok()) return first.status();
  if (dash == absl::string_view::npos) return PortRange(*first, *first);
  const absl::StatusOr<uint16_t> last = ParsePort(text.substr(dash + 1));
  if (!last.ok()) return last.status();
  if (*last < *first) {
    return absl::InvalidArgumentError(
        absl::StrCat("the port range '", text, "' runs backwards; write the lower port first"));
  }
  return PortRange(*first, *last);
}

std::string PortRange::ToString() const {
  return first_ == last_ ? absl::StrCat(first_) : absl::StrCat(first_, "-", last_);
}

absl::StatusOr<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  unsigned char bytes[16];
  const bool is_v6 = inet_pton(AF_INET6, address.c_str(), bytes) == 1;
  const bool is_v4 = !is_v6 && inet_pton(AF_INET, address.c_str(), bytes) == 1;
  const int limit = is_v6 ? 128 : 32;
  int length = limit;
  const bool length_ok = slash == absl::string_view::npos ||
                         (absl::SimpleAtoi(text.substr(slash + 1), &length) && length >= 0 && length <= limit);
  if ((!is_v4 && !is_v6) || !length_ok) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is not a network; write an address and a prefix length, such as 10.0.0.0/8 or fd00::/8"));
  }
  return Cidr(absl::StrCat(address, "/", length), is_v6);
}

std::string CaptureUpScript(const CaptureRules& rules) {
  // Adding first makes the deletion succeed on the first run too.
  return absl::StrCat(CaptureDownScript(), "table ", kCaptureTable, " {\n", Sets(rules), OutputChain(rules),
                      PreroutingChain(rules), GuardChain(rules), "}\n");
}

std::string CaptureDownScript() {
  return absl::StrCat("add table ", kCaptureTable, "\ndelete table ", kCaptureTable, "\n");
}

}  // namespace lanyard
