#include "identity/capture/closed_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "identity/capture/listening_sockets.h"

namespace lanyard {
namespace {

constexpr size_t kDatagramBytes = 16 << 10;

}  // namespace

std::unique_ptr<ClosedSockets> ClosedSockets::Watch() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
  if (fd < 0) return nullptr;
  std::unique_ptr<ClosedSockets> watch(new ClosedSockets(fd));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return nullptr;
  for (const int group : {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY}) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) return nullptr;
  }
  return watch;
}

ClosedSockets::~ClosedSockets() { close(fd_); }

std::vector<TcpSocket> ClosedSockets::Take() {
  std::vector<TcpSocket> sockets;
  std::string buffer(kDatagramBytes, '\0');
  for (;;) {
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
    if (size < 0 && (errno == EINTR || errno == ENOBUFS)) continue;  // ENOBUFS: some were lost, and the rest follows
    if (size <= 0) return sockets;
    for (TcpSocket& socket : ParseClosedSockets(absl::string_view(buffer).substr(0, static_cast<size_t>(size)))) {
      sockets.push_back(std::move(socket));
    }
  }
}

std::vector<TcpSocket> ParseClosedSockets(absl::string_view datagram) {
  std::vector<TcpSocket> sockets;
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    memcpy(&header, datagram.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.size()) break;
    if (header.nlmsg_len >= NLMSG_LENGTH(sizeof(inet_diag_msg))) {
      inet_diag_msg message;
      memcpy(&message, datagram.data() + NLMSG_HDRLEN, sizeof(message));
      TcpSocket socket;
      socket.local_address = DiagAddress(message.idiag_family, message.id.idiag_src);
      socket.remote_address = DiagAddress(message.idiag_family, message.id.idiag_dst);
      socket.local_port = ntohs(message.id.idiag_sport);
      socket.remote_port = ntohs(message.id.idiag_dport);
      socket.ended = true;
      sockets.push_back(std::move(socket));
    }
    datagram.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), datagram.size()));
  }
  return sockets;
}

}  // namespace lanyard
