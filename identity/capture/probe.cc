#include "identity/capture/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
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
#include "identity/base/clock.h"
#include "identity/capture/closed_sockets.h"
#include "identity/capture/tcp_sockets.h"

namespace lanyard {
namespace {

constexpr uint32_t kNobody = 65534;
constexpr uint16_t kDiscardPort = 9;  // where nobody expects anything (RFC 863)
constexpr int kPollMilliseconds = 20;

template <typename Item>
bool Has(const std::vector<Item>& items, Item wanted) {
  return std::find(items.begin(), items.end(), wanted) != items.end();
}

uint16_t PortToTry(const CaptureRules& rules) {
  const auto excluded = [&rules](uint16_t port) {
    return std::any_of(rules.exclude_outbound_ports.begin(), rules.exclude_outbound_ports.end(),
                       [port](const PortRange& range) { return range.Contains(port); });
  };
  for (const PortRange& range : rules.include_outbound_ports) {
    for (uint32_t port = range.first(); port < 65536 && range.Contains(static_cast<uint16_t>(port)); ++port) {
      if (!excluded(static_cast<uint16_t>(port))) return static_cast<uint16_t>(port);
    }
  }
  if (!rules.include_outbound_ports.empty()) return 0;
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

sockaddr_storage SockaddrOf(const std::string& address, uint16_t port, socklen_t& size) {
  sockaddr_storage storage{};
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    size = sizeof(*v4);
    return storage;
  }
  storage = {};
  inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  size = sizeof(*v6);
  return storage;
}

std::string AddressOf(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text, sizeof(text));
  }
  return text;
}

uint16_t PortOf(const sockaddr_storage& storage) {
  return ntohs(storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&storage)->sin_port
                                            : reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
}

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

int ConnectWithin(int fd, const sockaddr_storage& destination, socklen_t size, int timeout_ms) {
  if (connect(fd, reinterpret_cast<const sockaddr*>(&destination), size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting = {.fd = fd, .events = POLLOUT, .revents = 0};
  if (poll(&waiting, 1, timeout_ms) != 1) return ETIMEDOUT;
  int error_number = 0;
  socklen_t length = sizeof(error_number);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &length) != 0) return errno;
  // A reset before the handshake's end is ECONNREFUSED; this one came after it: somebody took the connection.
  return error_number == ECONNRESET ? 0 : error_number;
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
    const linger now = {.l_onoff = 1, .l_linger = 0};  // nothing is left of it but a reset
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
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

// Looks for the other end among the sockets of this namespace, and those closed since, until somebody has taken it.
void FindOtherEnd(const sockaddr_storage& local, absl::Duration timeout, ClosedSockets* closed, ProbeResult& result) {
  const std::string address = AddressOf(local);
  const uint16_t port = PortOf(local);
  const absl::Duration deadline = SystemClock().Monotonic() + timeout;
  while (!result.accepted) {
    std::vector<TcpSocket> sockets = ListTcpSockets();
    for (TcpSocket& socket : closed == nullptr ? std::vector<TcpSocket>() : closed->Take()) {
      sockets.push_back(std::move(socket));
    }
    for (const TcpSocket& socket : sockets) {
      if (socket.listening || socket.remote_address != address) continue;
      // A socket that was closed by a reset has forgotten its caller's port.
      const bool reset = socket.ended && socket.remote_port == 0 &&
                         (socket.local_port == result.plan.proxy_port || socket.local_port == result.plan.port);
      if (socket.remote_port != port && !reset) continue;
      result.arrived = true;
      if (!socket.owned && !socket.ended) continue;
      result.accepted = true;
      if (socket.owned) result.owner = socket.uid;
    }
    if (result.accepted || SystemClock().Monotonic() > deadline) return;
    poll(nullptr, 0, kPollMilliseconds);
  }
}

// Some other address of a network that this machine is in; empty if there is none.
std::string NeighbourAddress(bool v6) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "";
  std::string found;
  for (const ifaddrs* item = list; item != nullptr && found.empty(); item = item->ifa_next) {
    if (item->ifa_addr == nullptr || (item->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (item->ifa_addr->sa_family != (v6 ? AF_INET6 : AF_INET)) continue;
    sockaddr_storage storage{};
    memcpy(&storage, item->ifa_addr, v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    if (v6) {
      in6_addr& address = reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;
      address.s6_addr[15] ^= 3;
    } else {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_addr.s_addr ^= htonl(3);
    }
    found = AddressOf(storage);
  }
  freeifaddrs(list);
  return found;
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
  plan.port = PortToTry(rules);
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

absl::StatusOr<ProbeResult> Probe(ProbePlan plan, absl::Duration timeout) {
  absl::StatusOr<ProbeResult> result = ProbeOnce(plan, timeout);
  if (!result.ok() || (result->error_number != ENETUNREACH && result->error_number != EHOSTUNREACH)) return result;
  const std::string neighbour = NeighbourAddress(plan.destination.find(':') != std::string::npos);
  if (neighbour.empty()) return result;
  plan.destination = neighbour;
  return ProbeOnce(plan, timeout);
}

}  // namespace lanyard
