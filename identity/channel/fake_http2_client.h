// The bytes of an HTTP/2 client that opens gRPC calls and never sends their requests.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace lanyard {

// One frame (RFC 9113 section 4.1).
inline std::string Http2Frame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload = "") {
  const auto size = static_cast<uint32_t>(payload.size());
  std::string frame;
  for (const uint32_t byte : {size >> 16, size >> 8, size, uint32_t{type}, uint32_t{flags}, stream >> 24, stream >> 16,
                              stream >> 8, stream}) {
    frame.push_back(static_cast<char>(byte & 0xff));
  }
  frame.append(payload.data(), payload.size());
  return frame;
}

// The preface, and SETTINGS that change nothing. What the server answers is never acknowledged.
inline std::string Http2Preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Http2Frame(4, 0, 0); }

// HEADERS of a gRPC call of FetchX509SVID; its message is to follow (RFC 7541 section 6.2.2: literals, unindexed).
inline std::string Http2Call(uint32_t stream) {
  const auto text = [](absl::string_view value) { return static_cast<char>(value.size()) + std::string(value); };
  const std::string block = "\x83\x86" + ("\x04" + text("/SpiffeWorkloadAPI/FetchX509SVID")) +
                            ("\x01" + text("localhost")) +
                            (std::string(1, '\0') + text("content-type") + text("application/grpc")) +
                            (std::string(1, '\0') + text("te") + text("trailers"));
  return Http2Frame(1, 4, stream, block);
}

}  // namespace lanyard
