// The outer socket of a relayed connection, plain or TLS, as the relay sees it: bytes in and out
// without blocking. Private to identity/channel.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <openssl/base.h>

#include "absl/types/span.h"
#include "identity/base/descriptor.h"

namespace lanyard {

enum class IoState {
  kMoved,       // `size_bytes` of data moved, or the handshake is done
  kNeedsRead,   // again when the socket can be read
  kNeedsWrite,  // again when it can be written
  kEnded,       // the peer sends no more
  kFailed,      // broken; error() says why
};
struct IoResult {
  IoState state;
  size_t size_bytes = 0;
};

// Not thread-safe. Owns its non-blocking socket.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult Read(absl::Span<char> into) = 0;
  virtual IoResult Write(absl::Span<const char> from) = 0;
  // Tells the peer that no more comes; best effort.
  virtual void CloseWrite() = 0;
  virtual int fd() const = 0;
  virtual std::string error() const = 0;
};

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(Descriptor socket) : socket_(std::move(socket)) {}
  IoResult Read(absl::Span<char> into) override;
  IoResult Write(absl::Span<const char> from) override;
  void CloseWrite() override;
  int fd() const override { return socket_.get(); }
  std::string error() const override;

 private:
  const Descriptor socket_;
  int errno_ = 0;
};

// One non-blocking step on a plain socket, without SIGPIPE; errno is left as the kernel set it.
IoResult ReadSocket(int fd, absl::Span<char> into);
IoResult WriteSocket(int fd, absl::Span<const char> from);

}  // namespace lanyard
