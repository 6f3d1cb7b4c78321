#include "identity/capture/tcp_sockets.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

// Fields of a line, from 0.
constexpr size_t kLocal = 1, kRemote = 2, kState = 3, kUid = 7, kInode = 9;
constexpr char kListen[] = "0A";
// FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, LAST_ACK, CLOSING (the kernel's tcp_states.h).
constexpr absl::string_view kEnded[] = {"04", "05", "06", "07", "09", "0B"};

struct Endpoint {
  std::string address;
  uint16_t port;
};

// "0100007F:1F90": each 32-bit word of the address in this machine's byte order, the port as a number.
std::optional<Endpoint> ParseEndpoint(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  uint32_t port = 0;
  if (!absl::SimpleHexAtoi(parts.second, &port) || port > 65535) return std::nullopt;
  if (parts.first.size() != 8 && parts.first.size() != 32) return std::nullopt;
  uint32_t words[4] = {};
  const size_t count = parts.first.size() / 8;
  for (size_t i = 0; i < count; ++i) {
    if (!absl::SimpleHexAtoi(parts.first.substr(8 * i, 8), &words[i])) return std::nullopt;
  }
  const bool mapped = count == 4 && words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff);
  char address[INET6_ADDRSTRLEN] = {};
  if (count == 4 && !mapped) {
    inet_ntop(AF_INET6, words, address, sizeof(address));
  } else {
    inet_ntop(AF_INET, mapped ? &words[3] : words, address, sizeof(address));
  }
  return Endpoint{address, static_cast<uint16_t>(port)};
}

}  // namespace

std::vector<TcpSocket> ParseTcpSockets(absl::string_view text) {
  std::vector<TcpSocket> sockets;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() <= kInode) continue;
    const std::optional<Endpoint> local = ParseEndpoint(fields[kLocal]), remote = ParseEndpoint(fields[kRemote]);
    TcpSocket socket;
    uint64_t inode = 0;
    if (!absl::SimpleAtoi(fields[kUid], &socket.uid) || !absl::SimpleAtoi(fields[kInode], &inode)) continue;
    if (!local || !remote) continue;
    socket.local_address = local->address;
    socket.local_port = local->port;
    socket.remote_address = remote->address;
    socket.remote_port = remote->port;
    socket.listening = fields[kState] == kListen;
    socket.owned = inode != 0;
    socket.ended = !socket.owned && std::find(std::begin(kEnded), std::end(kEnded), fields[kState]) != std::end(kEnded);
    sockets.push_back(socket);
  }
  return sockets;
}

std::vector<TcpSocket> ListTcpSockets() {
  std::ostringstream text;
  for (const char* path : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(path);
    if (file) text << file.rdbuf();
  }
  return ParseTcpSockets(text.str());
}

}  // namespace lanyard
