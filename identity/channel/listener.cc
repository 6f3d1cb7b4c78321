#include "identity/channel/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "identity/base/logging.h"

namespace lanyard {
namespace {

// Then the open connections have their turn.
constexpr int kAcceptsPerTurn = 32;

}  // namespace

Listener::~Listener() {
  loop_.Cancel(resume_);
  loop_.Forget(socket_.get());
}

absl::Status Listener::Start() {
  if (!loop_.Watch(socket_.get(), EPOLLIN, this)) return absl::ErrnoToStatus(errno, "cannot watch a listening socket");
  return absl::OkStatus();
}

void Listener::OnReady(uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Descriptor accepted(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (accepted.valid()) {
      on_accept_(std::move(accepted));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    // accept(2): errors of the network reach us here; they concern one connection, not the listener.
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;
    return Pause(errno);
  }
}

void Listener::Pause(int error) {
  if (log_limit_.Allow(EventLoop::Now())) {
    Log(LogLevel::kError, "cannot accept connections for now; raise the limit of open files if this goes on",
        {{"error", strerror(error)}, {"suppressed", log_limit_.suppressed()}});
  }
  loop_.Forget(socket_.get());
  resume_ = loop_.After(kPause, [this] { Resume(); });
}

void Listener::Resume() {
  if (!loop_.Watch(socket_.get(), EPOLLIN, this)) resume_ = loop_.After(kPause, [this] { Resume(); });
}

}  // namespace lanyard
