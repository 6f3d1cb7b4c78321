#include "identity/channel/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

namespace lanyard {

IoResult ReadSocket(int fd, absl::Span<char> into) {
  while (true) {
    const ssize_t got = recv(fd, into.data(), into.size(), MSG_DONTWAIT);
    if (got > 0) return {IoState::kMoved, static_cast<size_t>(got)};
    if (got == 0) return {IoState::kEnded};
    if (errno == EINTR) continue;
    return {errno == EAGAIN || errno == EWOULDBLOCK ? IoState::kNeedsRead : IoState::kFailed};
  }
}

IoResult WriteSocket(int fd, absl::Span<const char> from) {
  while (true) {
    const ssize_t sent = send(fd, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return {IoState::kMoved, static_cast<size_t>(sent)};
    if (errno == EINTR) continue;
    return {errno == EAGAIN || errno == EWOULDBLOCK ? IoState::kNeedsWrite : IoState::kFailed};
  }
}

IoResult PlainTransport::Read(absl::Span<char> into) {
  const IoResult result = ReadSocket(socket_.get(), into);
  if (result.state == IoState::kFailed) errno_ = errno;
  return result;
}

IoResult PlainTransport::Write(absl::Span<const char> from) {
  const IoResult result = WriteSocket(socket_.get(), from);
  if (result.state == IoState::kFailed) errno_ = errno;
  return result;
}

void PlainTransport::CloseWrite() { shutdown(socket_.get(), SHUT_WR); }

std::string PlainTransport::error() const { return strerror(errno_); }

}  // namespace lanyard
