// What `lanyard capture up` was asked for: which connections reach the proxy, and how.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/capture/filter.h"

namespace lanyard {

// How a connection comes to the proxy. Each mode is laid and taken away in capture.cc.
enum class CaptureMode {
  kRedirect,  // its destination is rewritten, and the proxy asks connection tracking for the original one
  kTproxy,    // nothing is rewritten: it is delivered to the proxy's socket, which has the destination's address
  kEbpf,      // without packet filters: rewritten where a process connects, delivered where sockets are looked up
};

enum class UdpPolicy {
  kPass,    // UDP is left alone
  kRefuse,  // what would be captured if it were TCP gets ICMP "port unreachable", but for DNS
};

enum class DnsPolicy {
  kPass,     // connections to TCP port 53 are left alone
  kCapture,  // they are like any other; over UDP names are always asked for as without capture
};

struct CaptureRules {
  CaptureMode mode = CaptureMode::kRedirect;
  uid_t proxy_uid = 0;             // whose own traffic stays untouched
  uint16_t outbound_port = 15001;  // where the proxy takes outbound connections
  uint16_t inbound_port = 15006;
  // The proxy calls the local server from its caller's address, and the answers are led back to it.
  bool preserve_source = false;
  UdpPolicy udp = UdpPolicy::kPass;
  DnsPolicy dns = DnsPolicy::kPass;
  // Empty include lists mean everything; exclusion wins.
  std::vector<PortRange> include_outbound_ports, exclude_outbound_ports;
  std::vector<PortRange> include_inbound_ports, exclude_inbound_ports;
  std::vector<Cidr> include_cidrs, exclude_cidrs;  // destinations of outbound connections
  // Whose outbound connections: one of these suffices. Of inbound ones only the server's cgroup is known.
  std::vector<uid_t> include_uids, exclude_uids;
  std::vector<gid_t> include_gids, exclude_gids;
  std::vector<Cgroup> include_cgroups, exclude_cgroups;
};

// What the machine says.
struct CaptureEnvironment {
  std::string cgroup_mount = "/sys/fs/cgroup";                         // of the unified hierarchy
  std::function<absl::StatusOr<uid_t>(const std::string&)> user;       // by name; NotFound
  std::function<absl::StatusOr<gid_t>(const std::string&)> group;
};

// One option of `up`: what is written on the command line is what is noted beside the rules in the kernel.
struct CaptureSetting {
  std::string flag;  // "--mode"
  std::string help;
  enum class Kind { kValue, kList, kSwitch } kind = Kind::kValue;  // kList: may be repeated, and have commas
  std::string fallback = "";
  bool required = false;
  // InvalidArgument: why `text` (one item of a list; nothing of a switch) is none.
  std::function<absl::Status(absl::string_view text, const CaptureEnvironment&, CaptureRules&)> take;
  // Its values in their own spelling, users and groups by number; none: as by default.
  std::function<std::vector<std::string>(const CaptureRules&)> give;
};
const std::vector<CaptureSetting>& CaptureSettings();

// InvalidArgument with a sentence where what each setting allows does not go together: the proxy's own
// connections would be captured, and come back to it.
absl::Status CheckCaptureRules(const CaptureRules& rules);

// The rules as options of `up`, "--mode tproxy", one value each; and back. An option that is not known is
// InvalidArgument: another version wrote it.
std::vector<std::string> WordsOf(const CaptureRules& rules);
absl::StatusOr<CaptureRules> RulesFromWords(const std::vector<std::string>& words,
                                            const CaptureEnvironment& environment);

}  // namespace lanyard
