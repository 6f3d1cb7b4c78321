// The TCP sockets of this network namespace, as /proc/net/tcp and tcp6 list them (proc(5)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lanyard {

struct TcpSocket {
  std::string local_address, remote_address;  // IPv4-mapped ones as IPv4
  uint16_t local_port = 0, remote_port = 0;
  bool listening = false;
  uint32_t uid = 0;     // of its owner; 0 too until it is accepted
  bool owned = false;   // a process has it: it is accepted, or was never waiting for that
  bool ended = false;   // its process has closed it; whose it was is no longer said
};

// Lines that are not of that form, such as the heading, are passed over. Pure.
std::vector<TcpSocket> ParseTcpSockets(absl::string_view text);
// Both families.
std::vector<TcpSocket> ListTcpSockets();

}  // namespace lanyard
