#include "identity/capture/probe.h"

#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "identity/capture/closed_sockets.h"
#include "identity/capture/outside.h"
#include "identity/capture/probe_connection.h"

namespace lanyard {
namespace {

constexpr uint32_t kNobody = 65534;
constexpr uint16_t kDiscardPort = 9;  // where nobody expects anything (RFC 863)

template <typename Item>
bool Has(const std::vector<Item>& items, Item wanted) {
  return std::find(items.begin(), items.end(), wanted) != items.end();
}

// 0: none is captured.
uint16_t PortToTry(const std::vector<PortRange>& include, const std::vector<PortRange>& exclude) {
  const auto excluded = [&exclude](uint16_t port) {
    return std::any_of(exclude.begin(), exclude.end(),
                       [port](const PortRange& range) { return range.Contains(port); });
  };
  for (const PortRange& range : include) {
    for (uint32_t port = range.first(); port < 65536 && range.Contains(static_cast<uint16_t>(port)); ++port) {
      if (!excluded(static_cast<uint16_t>(port))) return static_cast<uint16_t>(port);
    }
  }
  if (!include.empty()) return 0;
  for (uint32_t port = kDiscardPort; port < 65536; ++port) {
    if (!excluded(static_cast<uint16_t>(port))) return static_cast<uint16_t>(port);
  }
  return 0;
}

// What the child says: first whether it connected, and from where.
struct ChildReport {
  int error_number = 0;
  sockaddr_storage local{};
};

// In the child: system calls only, for another process's memory is being used.
int BecomeSomebody(const ProbePlan& plan, const std::string& cgroup_file) {
  if (!cgroup_file.empty()) {
    const int file = open(cgroup_file.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "0", 1) != 1) return errno;
    close(file);
  }
  if (setgroups(0, nullptr) != 0) return errno;
  if (setresgid(plan.gid, plan.gid, plan.gid) != 0) return errno;
  if (setresuid(plan.uid, plan.uid, plan.uid) != 0) return errno;
  return 0;
}

// Connects, reports, and holds the connection until the parent closes its end.
[[noreturn]] void RunChild(const ProbePlan& plan, const std::string& cgroup_file, const sockaddr_storage& destination,
                           socklen_t size, int timeout_ms, int report_to, int until) {
  ChildReport report;
  report.error_number = BecomeSomebody(plan, cgroup_file);
  const int fd = report.error_number != 0 ? -1 : socket(destination.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd >= 0) {
    report.error_number = ConnectWithin(fd, destination, size, timeout_ms);
    socklen_t length = sizeof(report.local);
    getsockname(fd, reinterpret_cast<sockaddr*>(&report.local), &length);
    LeaveNothing(fd);
  } else if (report.error_number == 0) {
    report.error_number = errno;
  }
  char byte = 0;
  if (write(report_to, &report, sizeof(report)) == sizeof(report)) {
    while (read(until, &byte, 1) < 0 && errno == EINTR) {
    }
  }
  _exit(0);
}

// The first of this machine's addresses that is neither loopback's nor good on one link only; family 0: there is none.
sockaddr_storage FirstAddress(bool v6) {
  sockaddr_storage found{};
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* item = list; item != nullptr && found.ss_family == 0; item = item->ifa_next) {
    if (item->ifa_addr == nullptr || (item->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (item->ifa_addr->sa_family != (v6 ? AF_INET6 : AF_INET)) continue;
    if (v6 && IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(item->ifa_addr)->sin6_addr)) continue;
    memcpy(&found, item->ifa_addr, v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
  }
  freeifaddrs(list);
  return found;
}

// Some other address of a network that this machine is in; empty if there is none.
std::string NeighbourAddress(bool v6) {
  sockaddr_storage address = FirstAddress(v6);
  if (address.ss_family == 0) return "";
  if (v6) {
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr.s6_addr[15] ^= 3;
  } else {
    reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr ^= htonl(3);
  }
  return AddressOf(address);
}

absl::StatusOr<ProbeResult> ProbeOnce(const ProbePlan& plan, absl::Duration timeout) {
  ProbeResult result{.plan = plan};
  const std::string cgroup_file = plan.cgroup.empty() ? "" : absl::StrCat(plan.cgroup, "/cgroup.procs");
  socklen_t size = 0;
  const sockaddr_storage destination = SockaddrOf(plan.destination, plan.port, size);
  int report[2], until[2];
  if (pipe2(report, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "a probe could not be started");
  if (pipe2(until, O_CLOEXEC) != 0) {
    close(report[0]);
    close(report[1]);
    return absl::ErrnoToStatus(errno, "a probe could not be started");
  }
  // From before the probe: whoever takes it may close it at once.
  const std::unique_ptr<ClosedSockets> closed = ClosedSockets::Watch();
  const pid_t child = fork();
  if (child == 0) {
    close(report[0]);
    close(until[1]);
    RunChild(plan, cgroup_file, destination, size, static_cast<int>(absl::ToInt64Milliseconds(timeout)), report[1],
             until[0]);
  }
  close(report[1]);
  close(until[0]);
  ChildReport said;
  const bool told = child > 0 && read(report[0], &said, sizeof(said)) == sizeof(said);
  if (told && said.error_number == 0) FindOtherEnd(said.local, timeout, closed.get(), result);
  result.error_number = said.error_number;
  close(until[1]);
  close(report[0]);
  if (child > 0) {
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (!told) return absl::InternalError("a probe could not be started, or ended without a word");
  return result;
}

}  // namespace

absl::StatusOr<ProbePlan> PlanProbe(const CaptureRules& rules, bool v6, const std::string& cgroup_mount) {
  ProbePlan plan;
  plan.destination = v6 ? "2001:db8::9" : "192.0.2.9";
  if (!rules.include_cidrs.empty()) {
    const auto found = std::find_if(rules.include_cidrs.begin(), rules.include_cidrs.end(),
                                    [v6](const Cidr& cidr) { return cidr.is_v6() == v6; });
    if (found == rules.include_cidrs.end()) return absl::NotFoundError("--include-cidrs names none of this family");
    plan.destination = found->address();
  }
  plan.proxy_port = rules.outbound_port;
  plan.port = PortToTry(rules.include_outbound_ports, rules.exclude_outbound_ports);
  if (plan.port == 0) return absl::NotFoundError("--exclude-outbound-ports leaves no port to be captured");
  const bool anybody = rules.include_uids.empty() && rules.include_gids.empty() && rules.include_cgroups.empty();
  plan.gid = rules.include_gids.empty() ? kNobody : rules.include_gids.front();
  while (rules.include_gids.empty() && Has(rules.exclude_gids, plan.gid)) --plan.gid;
  plan.uid = kNobody;
  while (plan.uid == rules.proxy_uid || Has(rules.exclude_uids, plan.uid)) --plan.uid;
  if (!rules.include_uids.empty()) plan.uid = rules.include_uids.front();
  if (!anybody && rules.include_uids.empty() && rules.include_gids.empty()) {
    plan.cgroup = absl::StrCat(cgroup_mount, "/", rules.include_cgroups.front().ToString());
  }
  return plan;
}

absl::StatusOr<ProbePlan> PlanInboundProbe(const CaptureRules& rules, const std::string& own_address) {
  if (!rules.include_cgroups.empty() && rules.mode != CaptureMode::kEbpf) {
    return absl::NotFoundError("--cgroup captures what comes to the servers of that cgroup only");
  }
  ProbePlan plan;
  plan.destination = own_address;
  plan.proxy_port = rules.inbound_port;
  plan.port = PortToTry(rules.include_inbound_ports, rules.exclude_inbound_ports);
  if (plan.port == 0) return absl::NotFoundError("--exclude-inbound-ports leaves no port to be captured");
  return plan;
}

std::string OwnAddress(bool v6) {
  const sockaddr_storage address = FirstAddress(v6);
  return address.ss_family == 0 ? "" : AddressOf(address);
}

absl::StatusOr<ProbeResult> ProbeFromOutside(const ProbePlan& plan, absl::Duration timeout) {
  socklen_t size = 0;
  const sockaddr_storage destination = SockaddrOf(plan.destination, plan.port, size);
  const absl::StatusOr<std::unique_ptr<Outside>> outside = Outside::Open(destination.ss_family == AF_INET6);
  if (!outside.ok()) return outside.status();
  const absl::StatusOr<Descriptor> fd = (*outside)->Socket();
  if (!fd.ok()) return fd.status();
  const std::unique_ptr<ClosedSockets> closed = ClosedSockets::Watch();
  ProbeResult result{.plan = plan};
  result.error_number =
      ConnectWithin(fd->get(), destination, size, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  if (result.error_number == 0) {
    sockaddr_storage local{};
    socklen_t length = sizeof(local);
    getsockname(fd->get(), reinterpret_cast<sockaddr*>(&local), &length);
    FindOtherEnd(local, timeout, closed.get(), result);
  }
  LeaveNothing(fd->get());
  return result;
}

absl::StatusOr<ProbeResult> Probe(ProbePlan plan, absl::Duration timeout) {
  absl::StatusOr<ProbeResult> result = ProbeOnce(plan, timeout);
  if (!result.ok() || (result->error_number != ENETUNREACH && result->error_number != EHOSTUNREACH)) return result;
  const std::string neighbour = NeighbourAddress(plan.destination.find(':') != std::string::npos);
  if (neighbour.empty()) return result;
  plan.destination = neighbour;
  return ProbeOnce(plan, timeout);
}

}  // namespace lanyard
