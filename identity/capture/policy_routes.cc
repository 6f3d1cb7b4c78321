#include "identity/capture/policy_routes.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "identity/capture/netlink.h"
#include "identity/capture/script.h"

namespace lanyard {
namespace {

constexpr uint32_t kWholeMark = 0xffffffff;

// One thing that is laid: a rule or a route of a family.
struct Part {
  bool is_rule;
  int family;
};

const char* FamilyName(int family) { return family == AF_INET ? "IPv4" : "IPv6"; }

NetlinkRequest RequestOf(const Part& part, bool add) {
  const uint16_t flags = NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0);
  if (part.is_rule) {
    fib_rule_hdr rule{};
    rule.family = static_cast<uint8_t>(part.family);
    rule.action = FR_ACT_TO_TBL;
    NetlinkRequest request(add ? RTM_NEWRULE : RTM_DELRULE, flags, rule);
    request.U32(FRA_PRIORITY, kCaptureRulePriority).U32(FRA_FWMARK, kDeliverHereMark).U32(FRA_FWMASK, kWholeMark);
    request.U32(FRA_TABLE, kCaptureRouteTable).U8(FRA_PROTOCOL, kCaptureRouteProtocol);
    return request;
  }
  rtmsg route{};
  route.rtm_family = static_cast<uint8_t>(part.family);
  route.rtm_table = RT_TABLE_UNSPEC;  // it is in the attribute: too large for this
  route.rtm_protocol = kCaptureRouteProtocol;
  route.rtm_scope = part.family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_LOCAL;
  NetlinkRequest request(add ? RTM_NEWROUTE : RTM_DELROUTE, flags, route);
  request.U32(RTA_TABLE, kCaptureRouteTable).U32(RTA_OIF, if_nametoindex("lo"));
  return request;
}

// A family that the kernel was built or booted without, or that the namespace has turned off.
bool HasIpv6() {
  std::ifstream file("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
  char value = '1';
  return file.get(value) && value == '0';
}

absl::Status Refused(const Part& part, int error_number) {
  const std::string what = absl::StrCat("the ", FamilyName(part.family), part.is_rule ? " rule" : " route",
                                        " that leads captured packets back");
  if (error_number == EPERM || error_number == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, " needs CAP_NET_ADMIN: run this as root; nothing was changed"));
  }
  const char* remedy = "";
  if (error_number == ENETDOWN) remedy = "; the loopback interface is down: `ip link set lo up`";
  if (error_number == EOPNOTSUPP || error_number == EAFNOSUPPORT) {
    remedy = "; this kernel has no policy routing (CONFIG_IP_MULTIPLE_TABLES): use --mode redirect";
  }
  return absl::InternalError(absl::StrCat(what, " was refused (", strerrordesc_np(error_number),
                                          "), and nothing was changed", remedy));
}

bool IsOurRule(absl::string_view body) {
  if (body.size() < sizeof(fib_rule_hdr)) return false;
  uint32_t table = 0, mark = 0;
  bool ours = false;
  ForEachAttribute(body.substr(NLMSG_ALIGN(sizeof(fib_rule_hdr))), [&](uint16_t type, absl::string_view value) {
    if (type == FRA_TABLE) table = ReadU32(value);
    if (type == FRA_FWMARK) mark = ReadU32(value);
    if (type == FRA_PROTOCOL) ours = !value.empty() && static_cast<uint8_t>(value[0]) == kCaptureRouteProtocol;
  });
  return ours && table == kCaptureRouteTable && mark == kDeliverHereMark;
}

bool IsOurRoute(absl::string_view body) {
  rtmsg route;
  if (body.size() < sizeof(route)) return false;
  memcpy(&route, body.data(), sizeof(route));
  uint32_t table = route.rtm_table;
  ForEachAttribute(body.substr(NLMSG_ALIGN(sizeof(route))), [&](uint16_t type, absl::string_view value) {
    if (type == RTA_TABLE) table = ReadU32(value);
  });
  return table == kCaptureRouteTable && route.rtm_protocol == kCaptureRouteProtocol && route.rtm_type == RTN_LOCAL;
}

absl::StatusOr<bool> IsThere(Netlink& netlink, const Part& part) {
  bool found = false;
  absl::Status listed;
  if (part.is_rule) {
    fib_rule_hdr all{};
    all.family = static_cast<uint8_t>(part.family);
    listed = netlink.Dump(NetlinkRequest(RTM_GETRULE, NLM_F_DUMP, all),
                          [&](uint16_t, absl::string_view body) { found = found || IsOurRule(body); });
  } else {
    rtmsg all{};
    all.rtm_family = static_cast<uint8_t>(part.family);
    listed = netlink.Dump(NetlinkRequest(RTM_GETROUTE, NLM_F_DUMP, all),
                          [&](uint16_t, absl::string_view body) { found = found || IsOurRoute(body); });
  }
  if (!listed.ok()) return listed;
  return found;
}

// Routes before rules: a rule without its route would lead packets nowhere.
std::vector<Part> Parts() {
  std::vector<Part> parts = {{false, AF_INET}, {true, AF_INET}};
  if (HasIpv6()) parts.insert(parts.end(), {{false, AF_INET6}, {true, AF_INET6}});
  return parts;
}

absl::Status Remove(Netlink& netlink, const Part& part) {
  const absl::StatusOr<int> done = netlink.Do(RequestOf(part, false));
  if (!done.ok()) return done.status();
  if (*done == 0 || *done == ENOENT || *done == ESRCH) return absl::OkStatus();
  return Refused(part, *done);
}

}  // namespace

absl::StatusOr<PolicyRoutes> FindPolicyRoutes() {
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  if (!netlink.ok()) return netlink.status();
  PolicyRoutes routes;
  routes.has_v6 = HasIpv6();
  for (const Part& part : Parts()) {
    const absl::StatusOr<bool> found = IsThere(*netlink, part);
    if (!found.ok()) return found.status();
    const bool v4 = part.family == AF_INET;
    (part.is_rule ? (v4 ? routes.rule_v4 : routes.rule_v6) : (v4 ? routes.route_v4 : routes.route_v6)) = *found;
  }
  return routes;
}

absl::Status AddPolicyRoutes() {
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  if (!netlink.ok()) return netlink.status();
  std::vector<Part> added;
  for (const Part& part : Parts()) {
    const absl::StatusOr<int> done = netlink->Do(RequestOf(part, true));
    if (done.ok() && *done == EEXIST) continue;
    if (done.ok() && *done == 0) {
      added.push_back(part);
      continue;
    }
    for (auto undone = added.rbegin(); undone != added.rend(); ++undone) Remove(*netlink, *undone).IgnoreError();
    return done.ok() ? Refused(part, *done) : done.status();
  }
  return absl::OkStatus();
}

absl::Status RemovePolicyRoutes() {
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  if (!netlink.ok()) return netlink.status();
  const std::vector<Part> parts = Parts();
  absl::Status status;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) status.Update(Remove(*netlink, *part));
  return status;
}

}  // namespace lanyard
