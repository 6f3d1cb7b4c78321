// The PROXY protocol header of a connection that has just been accepted, read off its stream.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/connection/proxy_header.h"
#include "proxy/io/stream.h"

namespace lanyard {

// Whether a listener that asks for headers takes one from here.
bool TrustsHeaderOf(const AcceptedHeader& accepted, const SocketAddress& caller);

// Takes not one byte of what follows the header. How long to wait is its caller's to say.
class HeaderRead {
 public:
  // To be called again whenever the stream is ready: true once the header is whole. The error says why there is none,
  // or why it is refused.
  absl::StatusOr<bool> Step(Stream* from);
  // After true.
  const ProxyHeader& header() const { return header_; }

 private:
  std::vector<uint8_t> received_;
  ProxyHeader header_;
};

}  // namespace lanyard
