// The TCP sockets of this network namespace that listen on a port, and whose they are: sock_diag(7), which names each
// by its cookie, that no other socket ever gets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// An address as sock_diag has it, in network order: text, of IPv4-mapped ones IPv4's. Pure.
std::string DiagAddress(uint8_t family, const uint32_t (&words)[4]);

struct ListeningSocket {
  std::string address;  // IPv4-mapped ones as IPv4; "0.0.0.0" and "::" are every address
  uint16_t port = 0;
  uint32_t uid = 0;  // of who made it
  uint64_t cookie = 0;
};

// Both families. The kernel's error where it does not tell (no CONFIG_INET_TCP_DIAG). Blocks for the kernel's answer.
absl::StatusOr<std::vector<ListeningSocket>> ListListeningSockets(uint16_t port);

// One message of the kernel's answer, without its header; nullopt where it is cut short, or of a socket that does not
// listen. Pure.
std::optional<ListeningSocket> ParseListeningSocket(absl::string_view message);

}  // namespace lanyard
