#include "proxy/io/socket.h"

#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr int kKeepaliveIdleSeconds = 25;
constexpr int kKeepaliveIntervalSeconds = 15;
constexpr int kKeepaliveProbes = 6;
constexpr int kTcpRtoMaxMs = 44;         // TCP_RTO_MAX_MS: newer than the headers
constexpr int kLongestPauseMs = 45'000;  // of whoever sends and gets no answer
constexpr int kIp6tOriginalDst = 80;  // linux/netfilter_ipv6/ip6_tables.h does not compile as C++

void SetOption(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); }

// A peer that vanished without a word is noticed.
void SetKeepalive(int fd) {
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

// Small writes leave at once. What does not leave the machine has no congestion to control: the simplest algorithm
// serves, where the machine's own may model the path and pace packets by a timer (bbr does).
void SetStreamOptions(int fd, const SocketAddress& address) {
  static constexpr char kSimplest[] = "reno";  // every kernel has it, and lets anybody choose it
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (address.is_loopback()) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kSimplest, sizeof(kSimplest) - 1);
}

// Connection tracking forgets a half-closed connection after 60 seconds of silence (tcp_timeout_close_wait), and with
// it where a captured one was led: the next packet of either side is answered by a reset. So none is silent for as
// long, on loopback neither: an idle one is probed, and one whose caller does not read asks often enough (by Linux
// 6.15; an older one's pauses grow to two minutes).
void KeepTracked(int fd) {
  SetKeepalive(fd);
  SetOption(fd, IPPROTO_TCP, kTcpRtoMaxMs, kLongestPauseMs);
}

// The kernel chooses the port.
sockaddr_storage WithoutPort(const SocketAddress& address) {
  sockaddr_storage storage{};
  memcpy(&storage, address.raw(), address.raw_size());
  if (address.is_ipv4()) {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = 0;
  }
  return storage;
}

bool IsAnyIpv6(const SocketAddress& address) {
  if (address.is_ipv4()) return false;
  return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(address.raw())->sin6_addr);
}

absl::StatusOr<UniqueFd> OpenListenerOf(const SocketAddress& address) {
  const int family = address.is_ipv4() ? AF_INET : AF_INET6;
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto failed = [&address](absl::string_view what) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listening on ", address.ToString(), " failed at ", what));
  };
  if (!fd.valid()) return failed("socket");
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (family == AF_INET6) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, IsAnyIpv6(address) ? 0 : 1);
  SetStreamOptions(fd.get(), address);
  KeepTracked(fd.get());
  if (bind(fd.get(), address.raw(), address.raw_size()) != 0) return failed("bind");
  if (listen(fd.get(), kListenBacklog) != 0) return failed("listen");
  return fd;
}

// Binds to the host of `source`; the port is chosen with the destination known, so that one port serves many.
int BindToHost(int fd, const SocketAddress& source) {
  if (!MakeTransparent(fd, source).ok()) return errno;
  SetOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  sockaddr_storage storage = WithoutPort(source);
  return bind(fd, reinterpret_cast<const sockaddr*>(&storage), source.raw_size()) == 0 ? 0 : errno;
}

Dialled DialFromOrAnywhere(const SocketAddress* source, const SocketAddress& destination) {
  Dialled dialled;
  dialled.fd.Reset(socket(destination.is_ipv4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!dialled.fd.valid()) {
    dialled.error_number = errno;
    return dialled;
  }
  SetStreamOptions(dialled.fd.get(), destination);
  // On loopback nobody vanishes without the kernel's word, and four system calls a connection are saved.
  if (!destination.is_loopback()) SetKeepalive(dialled.fd.get());
  if (source != nullptr) {
    const bool same_family = source->is_ipv4() == destination.is_ipv4();
    dialled.error_number = same_family ? BindToHost(dialled.fd.get(), *source) : EAFNOSUPPORT;
    if (dialled.error_number != 0) {
      dialled.fd.Reset();
      return dialled;
    }
  }
  if (connect(dialled.fd.get(), destination.raw(), destination.raw_size()) == 0) {
    dialled.connected = true;
  } else if (errno != EINPROGRESS) {
    dialled.error_number = errno;
    dialled.fd.Reset();
  }
  return dialled;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenListener(const SocketAddress& address) {
  absl::StatusOr<UniqueFd> fd = OpenListenerOf(address);
  if (fd.ok() || !IsAnyIpv6(address) || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)) return fd;
  absl::StatusOr<SocketAddress> ipv4 = SocketAddress::Parse(absl::StrCat("0.0.0.0:", address.port()));
  return OpenListenerOf(*ipv4);
}

absl::Status MakeTransparent(int fd, const SocketAddress& address) {
  const int one = 1;
  const int level = address.is_ipv4() ? SOL_IP : SOL_IPV6;
  if (setsockopt(fd, level, address.is_ipv4() ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one, sizeof(one)) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("a socket for ", address.ToString(),
                                                 " may not have addresses that are not this machine's: give the proxy "
                                                 "CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW)"));
}

bool IsTransparent(int fd, const SocketAddress& address) {
  int value = 0;
  socklen_t size = sizeof(value);
  const bool ipv4 = address.is_ipv4();
  return getsockopt(fd, ipv4 ? SOL_IP : SOL_IPV6, ipv4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &value, &size) == 0 &&
         value != 0;
}

absl::StatusOr<SocketAddress> LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return absl::ErrnoToStatus(errno, "a socket's own address could not be read");
  }
  return SocketAddress::FromSockaddr(storage);
}

absl::StatusOr<SocketAddress> OriginalDestination(int fd, const SocketAddress& source) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  const int level = source.is_ipv4() ? SOL_IP : SOL_IPV6;
  const int option = source.is_ipv4() ? SO_ORIGINAL_DST : kIp6tOriginalDst;
  if (getsockopt(fd, level, option, &storage, &size) != 0) {
    return absl::NotFoundError("the connection is not tracked: the kernel knows no original destination");
  }
  return SocketAddress::FromSockaddr(storage);
}

Dialled Dial(const SocketAddress& destination) { return DialFromOrAnywhere(nullptr, destination); }

Dialled DialFrom(const SocketAddress& source, const SocketAddress& destination) {
  return DialFromOrAnywhere(&source, destination);
}

void ResetOnClose(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void FinishOnClose(int fd) {
  const linger none{};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

}  // namespace lanyard
