#include "identity/capture/listening_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "identity/capture/netlink.h"

namespace lanyard {
namespace {

constexpr uint8_t kListen = 10;  // TCP_LISTEN of the kernel's tcp_states.h

}  // namespace

std::string DiagAddress(uint8_t family, const uint32_t (&words)[4]) {
  const bool mapped = family == AF_INET6 && words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff);
  char text[INET6_ADDRSTRLEN] = {};
  if (family == AF_INET6 && !mapped) {
    inet_ntop(AF_INET6, words, text, sizeof(text));
  } else {
    inet_ntop(AF_INET, mapped ? &words[3] : &words[0], text, sizeof(text));
  }
  return text;
}

std::optional<ListeningSocket> ParseListeningSocket(absl::string_view message) {
  inet_diag_msg found;
  if (message.size() < sizeof(found)) return std::nullopt;
  memcpy(&found, message.data(), sizeof(found));
  if (found.idiag_state != kListen) return std::nullopt;
  ListeningSocket socket;
  socket.address = DiagAddress(found.idiag_family, found.id.idiag_src);
  socket.port = ntohs(found.id.idiag_sport);
  socket.uid = found.idiag_uid;
  socket.cookie = uint64_t{found.id.idiag_cookie[1]} << 32 | found.id.idiag_cookie[0];
  return socket;
}

absl::StatusOr<std::vector<ListeningSocket>> ListListeningSockets(uint16_t port) {
  std::vector<ListeningSocket> sockets;
  for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
    absl::StatusOr<Netlink> netlink = Netlink::Open(NETLINK_SOCK_DIAG);
    if (!netlink.ok()) return netlink.status();
    inet_diag_req_v2 request{};
    request.sdiag_family = family;
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_states = 1u << kListen;
    request.id.idiag_sport = htons(port);
    const absl::Status listed = netlink->Dump(
        NetlinkRequest(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request), [port, &sockets](uint16_t, absl::string_view body) {
          std::optional<ListeningSocket> socket = ParseListeningSocket(body);
          if (socket.has_value() && socket->port == port) sockets.push_back(*std::move(socket));
        });
    if (!listed.ok()) return listed;
  }
  return sockets;
}

}  // namespace lanyard
