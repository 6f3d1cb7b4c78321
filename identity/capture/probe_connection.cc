#include "identity/capture/probe_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "identity/base/clock.h"
#include "identity/capture/tcp_sockets.h"

namespace lanyard {
namespace {

constexpr int kPollMilliseconds = 20;

}  // namespace

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

void LeaveNothing(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

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

}  // namespace lanyard
