#include "identity/cli/capture_findings.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/capture/outside.h"
#include "identity/capture/script.h"

namespace lanyard {
namespace {

using Level = Finding::Level;

constexpr char kRules[] = "rules", kRoutes[] = "routes", kTables[] = "other tables", kProxy[] = "proxy",
               kProbe[] = "probe", kInboundProbe[] = "inbound probe";
constexpr char kUpAgain[] = "run `lanyard capture up` again, with the options it was run with (`lanyard capture show`)";
constexpr char kWhoLetsPass[] =
    "see which rule lets it pass: `lanyard capture show` has counters, `nft list ruleset` all tables";
constexpr int kRedirectPriority = -100, kTproxyPriority = -150;

// One of the proxy's two capture ports.
struct Door {
  const char* name;     // of the connections
  const char* setting;  // in proxy.yaml
  uint16_t port;
  bool may_be_loopback;  // what is redirected on its way out arrives there
};

Door OutboundDoor(const CaptureRules& rules) {
  return {"outbound", "outbound_address", rules.outbound_port,
          /*may_be_loopback=*/rules.mode != CaptureMode::kTproxy};
}

Door InboundDoor(const CaptureRules& rules) {
  return {"inbound", "inbound_address", rules.inbound_port, /*may_be_loopback=*/false};
}

bool Takes(const TcpSocket& socket, const Door& door, bool v6) {
  if (socket.local_address == "::") return true;  // Lanyard's own takes both families
  if (socket.local_address == (v6 ? "::1" : "127.0.0.1")) return door.may_be_loopback;
  return !v6 && socket.local_address == "0.0.0.0";
}

bool ListensAt(const Door& door, const std::vector<TcpSocket>& sockets, bool v6) {
  return std::any_of(sockets.begin(), sockets.end(), [&](const TcpSocket& socket) {
    return socket.listening && socket.local_port == door.port && Takes(socket, door, v6);
  });
}

Finding ListenerFinding(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool has_v6,
                        const Door& door) {
  bool any = false, v4 = false, v6 = false;
  std::set<uint32_t> strangers;
  for (const TcpSocket& socket : sockets) {
    if (!socket.listening || socket.local_port != door.port) continue;
    any = true;
    v4 = v4 || Takes(socket, door, false);
    v6 = v6 || Takes(socket, door, true);
    if (socket.uid != rules.proxy_uid) strangers.insert(socket.uid);
  }
  const std::string port = absl::StrCat("port ", door.port);
  const std::string remedy = absl::StrCat("in proxy.yaml, set capture.", door.setting, " to \":", door.port, "\"");
  if (!any) {
    return {Level::kProblem, kProxy,
            absl::StrCat("nothing listens at ", port, ": ", door.name, " connections are captured and refused"),
            absl::StrCat("start lanyard-proxy; ", remedy)};
  }
  if (!strangers.empty()) {
    return {Level::kProblem, kProxy,
            absl::StrCat("who listens at ", port, " runs as uid ", absl::StrJoin(strangers, ", "),
                         ", and the rules exempt uid ", rules.proxy_uid,
                         ": the proxy's own connections would be captured, come back to it, and be refused as loops"),
            absl::StrCat("run `lanyard capture up --proxy-uid ", *strangers.begin(), "`, or the proxy as uid ",
                         rules.proxy_uid)};
  }
  if (!v4 || (has_v6 && !v6)) {
    return {Level::kProblem, kProxy,
            absl::StrCat("nothing takes ", v4 ? "IPv6" : "IPv4", " at ", port, ": ", door.name,
                         " connections of that family are captured and refused"),
            remedy};
  }
  return {Level::kGood, kProxy, absl::StrCat("takes ", door.name, " connections at ", port), ""};
}

std::string DestinationOf(const ProbePlan& plan) {
  const bool v6 = plan.destination.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", plan.destination, v6 ? "]:" : ":", plan.port);
}

// Refused by the kernel, as no listener takes it, or by a destination that it should not have reached.
Finding RefusedProbe(const CaptureRules& rules, bool proxy_listens, const std::string& probe) {
  if (rules.mode == CaptureMode::kTproxy) {
    return {Level::kProblem, kProbe, absl::StrCat(probe, " was refused"),
            "start lanyard-proxy with capture.mode TPROXY in proxy.yaml: only then its listener takes connections to "
            "any address; if it does, see which rule lets the probe pass (`lanyard capture show`)"};
  }
  if (proxy_listens) {
    return {Level::kProblem, kProbe,
            absl::StrCat(probe, " was not captured: the proxy listens, and the destination refused it"), kWhoLetsPass};
  }
  return {Level::kProblem, kProbe, absl::StrCat(probe, " was refused"), "start lanyard-proxy; see its log"};
}

// Likewise of one from outside.
Finding RefusedFromOutside(const CaptureRules& rules, bool proxy_listens, const std::string& probe) {
  if (!proxy_listens) {
    return {Level::kProblem, kInboundProbe, absl::StrCat(probe, " was refused"), "start lanyard-proxy; see its log"};
  }
  switch (rules.mode) {
    case CaptureMode::kRedirect: break;
    case CaptureMode::kTproxy:
      return {Level::kProblem, kInboundProbe, absl::StrCat(probe, " was refused"),
              "set capture.mode TPROXY in proxy.yaml: only then the proxy's listener takes connections to any address; "
              "if it is, see which rule lets the probe pass (`lanyard capture show`)"};
    case CaptureMode::kEbpf:
      return {Level::kProblem, kInboundProbe,
              absl::StrCat(probe, " was refused, though the proxy listens: it was not captured"), kUpAgain};
  }
  return {Level::kProblem, kInboundProbe,
          absl::StrCat(probe, " was refused, though the proxy listens: it was not captured"), kWhoLetsPass};
}

// Of a connection that was made, and is one of this namespace.
Finding JudgeTaker(const CaptureRules& rules, const char* subject, const std::string& probe,
                   const ProbeResult& result) {
  if (!result.accepted) {
    return {Level::kProblem, subject, absl::StrCat(probe, " waits, and the proxy does not take it"),
            "the proxy hangs, or has not been given its first configuration: see its log, and /ready"};
  }
  if (!result.owner) {
    return {Level::kGood, subject, absl::StrCat(probe, " was captured, and closed by who took it"), ""};
  }
  if (*result.owner != rules.proxy_uid) {
    return {Level::kProblem, subject,
            absl::StrCat(probe, " came to a process of uid ", *result.owner, ", not to the proxy's, ",
                         rules.proxy_uid),
            "see who listens there and at the capture port: `ss -tlnp`, and what is captured: `lanyard capture show`"};
  }
  return {Level::kGood, subject, absl::StrCat(probe, " came to the proxy"), ""};
}

}  // namespace

std::vector<Finding> JudgeCaptureRules(const absl::StatusOr<std::optional<CaptureInForce>>& found,
                                       const absl::Status& redirect_supported, const absl::Status& tproxy_supported) {
  if (absl::IsPermissionDenied(found.status())) {
    return {{Level::kProblem, kRules, std::string(found.status().message()), "run this as root"}};
  }
  if (!found.ok()) {
    return {{Level::kProblem, kRules, absl::StrCat("cannot be read: ", found.status().message()), kUpAgain}};
  }
  if (!found->has_value()) {
    std::vector<Finding> findings = {{Level::kProblem, kRules,
                                      "there are none in this network namespace: connections bypass the proxy",
                                      "run `lanyard capture up --proxy-uid USER`"}};
    if (!redirect_supported.ok()) {
      findings.push_back({Level::kProblem, "kernel", std::string(redirect_supported.message()),
                          "use a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_REDIR, CONFIG_NFT_FIB_INET"});
    } else if (!tproxy_supported.ok()) {
      findings.push_back({Level::kNote, "kernel", absl::StrCat("no TPROXY: ", tproxy_supported.message()),
                          "use --mode redirect, or a kernel with CONFIG_NFT_TPROXY"});
    }
    return findings;
  }
  if ((*found)->shape != kCaptureShape) {
    return {{Level::kProblem, kRules,
             absl::StrCat("they were laid by another version of lanyard (shape ", (*found)->shape, ", this one lays ",
                          kCaptureShape, ")"),
             "run `lanyard capture up` again"}};
  }
  return {{Level::kGood, kRules, absl::StrCat("in force: ", absl::StrJoin(WordsOf((*found)->rules), " ")), ""}};
}

std::vector<Finding> JudgeCaptureRoutes(const CaptureRules& rules, const absl::StatusOr<PolicyRoutes>& routes) {
  if (!routes.ok()) return {{Level::kProblem, kRoutes, std::string(routes.status().message()), "run this as root"}};
  if (!NeedsPolicyRoutes(rules)) return {};
  if (routes->complete()) {
    return {{Level::kGood, kRoutes,
             absl::StrCat("marked packets are delivered here, ", routes->has_v6 ? "both families" : "IPv4", " (table ",
                          kCaptureRouteTable, ")"),
             ""}};
  }
  std::vector<std::string> missing;
  if (!routes->rule_v4) missing.push_back("the IPv4 rule");
  if (!routes->route_v4) missing.push_back("the IPv4 route");
  if (routes->has_v6 && !routes->rule_v6) missing.push_back("the IPv6 rule");
  if (routes->has_v6 && !routes->route_v6) missing.push_back("the IPv6 route");
  return {{Level::kProblem, kRoutes,
           absl::StrCat(absl::StrJoin(missing, " and "), " that lead", missing.size() == 1 ? "s" : "",
                        " captured packets back to this machine (table ", kCaptureRouteTable,
                        missing.size() == 1 ? ") is missing" : ") are missing", ": they leave it instead"),
           kUpAgain}};
}

std::vector<Finding> JudgeOtherTables(const CaptureRules& rules, const std::vector<OtherTable>& tables) {
  std::vector<Finding> findings;
  if (rules.mode == CaptureMode::kEbpf) return findings;  // a connection is captured before any packet
  const int ours = rules.mode == CaptureMode::kTproxy ? kTproxyPriority : kRedirectPriority;
  for (const OtherTable& table : tables) {
    const bool earlier = table.priority < ours;
    findings.push_back({earlier ? Level::kProblem : Level::kNote, kTables,
                        absl::StrCat("table ", table.name, " takes connections at ", table.hook, " too, ",
                                     earlier ? "before" : "not before", " capture (priority ", table.priority,
                                     ", capture's is ", ours, ")"),
                        absl::StrCat("see `nft list table ", table.name,
                                     "`: what it takes, capture does not see as it was meant")});
  }
  return findings;
}

std::vector<Finding> JudgeCaptureListeners(const CaptureRules& rules, const std::vector<TcpSocket>& sockets,
                                           bool has_v6) {
  const Door outbound = OutboundDoor(rules);
  return {ListenerFinding(rules, sockets, has_v6, outbound),
          ListenerFinding(rules, sockets, has_v6, InboundDoor(rules))};
}

std::vector<uint16_t> ServersBehind(const CaptureRules& rules, const std::vector<TcpSocket>& sockets) {
  if (!rules.include_cgroups.empty() || !rules.include_inbound_ports.empty()) return {};  // they were chosen
  std::set<uint16_t> ports;
  for (const TcpSocket& socket : sockets) {
    const uint16_t port = socket.local_port;
    const bool local = socket.local_address == "::1" || absl::StartsWith(socket.local_address, "127.");
    if (!socket.listening || local || socket.uid == rules.proxy_uid) continue;
    if (port == rules.outbound_port || port == rules.inbound_port) continue;
    const auto& excluded = rules.exclude_inbound_ports;
    const auto names_it = [port](const PortRange& range) { return range.Contains(port); };
    if (std::none_of(excluded.begin(), excluded.end(), names_it)) ports.insert(port);
  }
  return {ports.begin(), ports.end()};
}

std::string WarningOfServers(const std::vector<uint16_t>& ports) {
  if (ports.empty()) return "";
  const std::string list = absl::StrJoin(ports, ",");
  return absl::StrCat("callers of what listens here at ", ports.size() == 1 ? "port " : "ports ", list,
                      " now reach the proxy, which refuses whom no policy allows; for servers that are none of the "
                      "mesh's (SSH, the authority), run it again with --exclude-inbound-ports ", list);
}

bool ProxyListens(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool v6) {
  return ListensAt(OutboundDoor(rules), sockets, v6);
}

bool ProxyListensInbound(const CaptureRules& rules, const std::vector<TcpSocket>& sockets, bool v6) {
  return ListensAt(InboundDoor(rules), sockets, v6);
}

Finding JudgeProbe(const CaptureRules& rules, bool proxy_listens, const std::string& family,
                   const absl::StatusOr<ProbeResult>& result) {
  if (!result.ok()) {
    return {Level::kNote, kProbe, absl::StrCat(family, " was not tried: ", result.status().message()),
            "try one of the workload's own connections, and look for it in the proxy's log"};
  }
  const std::string probe =
      absl::StrCat("a connection of uid ", result->plan.uid, " to ", DestinationOf(result->plan));
  switch (result->error_number) {
    case 0: break;
    case ECONNREFUSED: return RefusedProbe(rules, proxy_listens, probe);
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
      return {Level::kNote, kProbe, absl::StrCat(family, " was not tried: this machine has no route of that family"),
              "give it one if its workloads call others that way"};
    case EPERM:
      return {Level::kNote, kProbe, absl::StrCat(probe, " could not be made as that user"), "run this as root"};
    default:
      return {Level::kProblem, kProbe,
              absl::StrCat(probe, " did not reach the proxy (", strerrordesc_np(result->error_number), ")"),
              "see what else filters packets here: `nft list ruleset`"};
  }
  if (!result->arrived) {
    return {Level::kProblem, kProbe, absl::StrCat(probe, " was not captured: it left this machine"), kWhoLetsPass};
  }
  return JudgeTaker(rules, kProbe, probe, *result);
}

Finding JudgeInboundProbe(const CaptureRules& rules, bool proxy_listens, const std::string& family,
                          const absl::StatusOr<ProbeResult>& result) {
  if (!result.ok()) {
    return {Level::kNote, kInboundProbe,
            absl::StrCat(family, " was not tried from outside: ", result.status().message()),
            "call a server here from another machine, and look for the connection in the proxy's log"};
  }
  const std::string probe = absl::StrCat("a connection from outside to ", DestinationOf(result->plan));
  switch (result->error_number) {
    case 0: break;
    case ECONNREFUSED: return RefusedFromOutside(rules, proxy_listens, probe);
    default:  // a firewall's doing more likely than capture's, and perhaps meant for unknown interfaces only
      return {Level::kNote, kInboundProbe,
              absl::StrCat(probe, " did not get in (", strerrordesc_np(result->error_number),
                           "): something else filters packets here"),
              absl::StrCat("see `nft list ruleset`; where callers are let in by named interfaces only, the probe's, ",
                           kOutsideInterface, ", is none of them, and this is harmless")};
  }
  if (!result->arrived) {
    return {Level::kProblem, kInboundProbe,
            absl::StrCat(probe, " was not captured: it was led out of this network namespace"), kWhoLetsPass};
  }
  return JudgeTaker(rules, kInboundProbe, probe, *result);
}

}  // namespace lanyard
