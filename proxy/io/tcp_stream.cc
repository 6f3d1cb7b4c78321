#include "proxy/io/tcp_stream.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/io/socket.h"

namespace lanyard {
namespace {

StreamError ErrorOf(int error_number) {
  switch (error_number) {
    case ECONNRESET:
    case EPIPE: return StreamError::kReset;
    case ECONNREFUSED: return StreamError::kRefused;
    case ETIMEDOUT: return StreamError::kTimedOut;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case EHOSTDOWN:
    case ENETDOWN: return StreamError::kUnreachable;
    case EMFILE:
    case ENFILE: return StreamError::kNoDescriptors;
    default: return StreamError::kOther;
  }
}

}  // namespace

TcpStream::TcpStream(EventLoop* loop, UniqueFd fd, bool connected)
    : loop_(loop), fd_(std::move(fd)), connected_(connected) {}

TcpStream::~TcpStream() {
  if (fd_.valid()) loop_->Unwatch(fd_.get(), this);
}

std::unique_ptr<TcpStream> TcpStream::Accepted(EventLoop* loop, UniqueFd fd) {
  std::unique_ptr<TcpStream> stream(new TcpStream(loop, std::move(fd), true));
  stream->Register();
  return stream;
}

std::unique_ptr<TcpStream> TcpStream::Inherited(EventLoop* loop, UniqueFd fd, bool shut) {
  FinishOnClose(fd.get());
  std::unique_ptr<TcpStream> stream = Accepted(loop, std::move(fd));
  stream->shut_ = shut;
  return stream;
}

std::unique_ptr<TcpStream> TcpStream::Dialling(EventLoop* loop, const SocketAddress& destination, OwnSockets* own,
                                               uint8_t hops) {
  return Of(loop, Dial(destination), destination, own, hops);
}

std::unique_ptr<TcpStream> TcpStream::DiallingFrom(EventLoop* loop, const SocketAddress& source,
                                                   const SocketAddress& destination, OwnSockets* own, uint8_t hops) {
  return Of(loop, DialFrom(source, destination), destination, own, hops);
}

std::unique_ptr<TcpStream> TcpStream::Of(EventLoop* loop, Dialled dialled, const SocketAddress& destination,
                                         OwnSockets* own, uint8_t hops) {
  std::unique_ptr<TcpStream> stream(new TcpStream(loop, std::move(dialled.fd), dialled.connected));
  if (dialled.error_number != 0) {
    stream->Fail(dialled.error_number);
    return stream;
  }
  if (own != nullptr) {
    const absl::StatusOr<SocketAddress> local = LocalAddress(stream->fd_.get());
    if (local.ok()) stream->dialled_ = own->Enter(*local, destination, hops);
  }
  stream->Register();
  return stream;
}

void TcpStream::Register() {
  const absl::Status watched = loop_->Watch(fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this);
  if (!watched.ok()) Fail(errno);
}

void TcpStream::OnIo(uint32_t events) {
  if (!connected_) {
    if (events & (EPOLLERR | EPOLLHUP)) {
      int error_number = 0;
      socklen_t size = sizeof(error_number);
      getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error_number, &size);
      Fail(error_number == 0 ? ECONNRESET : error_number);
    } else if (events & EPOLLOUT) {
      connected_ = true;
    }
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) end_seen_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
  if (observer_ != nullptr) observer_->OnReady();
}

IoResult TcpStream::Open() {
  if (error_ != StreamError::kNone) return {IoStatus::kError};
  return {connected_ ? IoStatus::kOk : IoStatus::kWouldBlock};
}

IoResult TcpStream::Read(absl::Span<uint8_t> into) {
  if (error_ != StreamError::kNone) return {IoStatus::kError};
  if (!readable_) return {IoStatus::kWouldBlock};
  for (;;) {
    const ssize_t count = recv(fd_.get(), into.data(), into.size(), 0);
    if (count > 0) {
      // Less than asked for: the socket is empty, and the kernel will say when it is not.
      if (static_cast<size_t>(count) < into.size() && !end_seen_) readable_ = false;
      return {IoStatus::kOk, static_cast<size_t>(count), !readable_};
    }
    if (count == 0) return {IoStatus::kEnd};
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(errno);
    readable_ = false;
    return {IoStatus::kWouldBlock};
  }
}

IoResult TcpStream::Write(absl::Span<const uint8_t> from) {
  if (error_ != StreamError::kNone) return {IoStatus::kError};
  if (!writable_ || !connected_) return {IoStatus::kWouldBlock};
  for (;;) {
    const ssize_t count = send(fd_.get(), from.data(), from.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      if (static_cast<size_t>(count) < from.size()) writable_ = false;
      return {IoStatus::kOk, static_cast<size_t>(count)};
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(errno);
    writable_ = false;
    return {IoStatus::kWouldBlock};
  }
}

IoResult TcpStream::Flush() {
  return {error_ == StreamError::kNone ? IoStatus::kOk : IoStatus::kError};  // the kernel has it all
}

IoResult TcpStream::ShutdownWrite() {
  if (error_ != StreamError::kNone) return {IoStatus::kError};
  if (shut_) return {IoStatus::kOk};
  if (shutdown(fd_.get(), SHUT_WR) != 0) return Fail(errno == ENOTCONN ? ECONNRESET : errno);
  shut_ = true;
  return {IoStatus::kOk};
}

void TcpStream::Reset() {
  if (!fd_.valid()) return;
  loop_->Unwatch(fd_.get(), this);
  ResetOnClose(fd_.get());
  fd_.Reset();
  dialled_.Forget();
  if (error_ == StreamError::kNone) error_ = StreamError::kOther;
}

UniqueFd TcpStream::ReleaseFd() {
  if (error_ != StreamError::kNone || !connected_) return UniqueFd();
  loop_->Unwatch(fd_.get(), this);
  error_ = StreamError::kOther;
  dialled_.Forget();
  return std::move(fd_);
}

IoResult TcpStream::Fail(int error_number) {
  error_number_ = error_number;
  error_ = ErrorOf(error_number);
  return {IoStatus::kError};
}

std::string TcpStream::error_text() const {
  return error_number_ == 0 ? std::string(StreamErrorName(error_)) : std::string(strerrordesc_np(error_number_));
}

}  // namespace lanyard
