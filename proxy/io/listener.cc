#include "proxy/io/listener.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "proxy/io/socket.h"

namespace lanyard {

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(EventLoop* loop, const SocketAddress& address) {
  absl::StatusOr<UniqueFd> fd = OpenListener(address);
  if (!fd.ok()) return fd.status();
  return Adopt(loop, *std::move(fd));
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(EventLoop* loop, UniqueFd fd) {
  absl::StatusOr<SocketAddress> bound = LocalAddress(fd.get());
  if (!bound.ok()) return bound.status();
  return std::unique_ptr<Listener>(new Listener(loop, std::move(fd), *bound));
}

Listener::Listener(EventLoop* loop, UniqueFd fd, SocketAddress address)
    : loop_(loop), fd_(std::move(fd)), address_(address), pause_(loop, [this] {
        if (!Resume().ok()) pause_.Start(kPause);
      }) {}

Listener::~Listener() { Close(); }

absl::Status Listener::MakeTransparent() { return lanyard::MakeTransparent(fd_.get(), address_); }

bool Listener::IsTransparent() const { return lanyard::IsTransparent(fd_.get(), address_); }

absl::Status Listener::Start(Events events) {
  events_ = std::move(events);
  return Resume();
}

// Level-triggered: what a turn leaves is told again.
absl::Status Listener::Resume() { return loop_->Watch(fd_.get(), EPOLLIN, this); }

void Listener::Close() {
  pause_.Stop();
  if (!fd_.valid()) return;
  loop_->Unwatch(fd_.get(), this);
  fd_.Reset();
}

void Listener::Pause(int error_number) {
  loop_->Unwatch(fd_.get(), this);
  pause_.Start(kPause);
  events_.on_pause(error_number);
}

void Listener::OnIo(uint32_t) { Accept(kAcceptsPerTurn); }

void Listener::Drain() {
  if (fd_.valid() && events_.on_accept != nullptr) Accept(kListenBacklog);
  Close();
}

void Listener::Accept(int most) {
  for (int i = 0; i < most && fd_.valid(); ++i) {
    sockaddr_storage source{};
    socklen_t size = sizeof(source);
    const int accepted = accept4(fd_.get(), reinterpret_cast<sockaddr*>(&source), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      events_.on_accept(UniqueFd(accepted), SocketAddress::FromSockaddr(source));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return Pause(errno);
    }
    // Anything else (ECONNABORTED, EPROTO, EINTR...) is one caller's trouble: on to the next.
  }
}

}  // namespace lanyard
