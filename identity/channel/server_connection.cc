#include "identity/channel/server_connection.h"

#include <errno.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "identity/channel/inner_link.h"
#include "identity/channel/stream_limit.h"

namespace lanyard {
namespace {

// The wall clock may be set: an expiry far away is looked at again before it is due.
constexpr absl::Duration kExpiryLook = absl::Seconds(10);

}  // namespace

ServerConnection::ServerConnection(const Server& server, std::unique_ptr<TlsTransport> transport,
                                   std::function<void()> on_open, std::function<void(const absl::Status&)> on_end)
    : server_(server),
      transport_(std::move(transport)),
      ssl_(transport_->ssl()),
      on_open_(std::move(on_open)),
      on_end_(std::move(on_end)) {}

ServerConnection::~ServerConnection() {
  server_.loop.Cancel(timer_);
  server_.handshakes.Forget(this);
  if (transport_ != nullptr) server_.loop.Forget(transport_->fd());
  if (!name_.empty()) server_.peers.Remove(name_);
}

void ServerConnection::Start(absl::Duration handshake_timeout) {
  timer_ = server_.loop.After(handshake_timeout,
                              [this] { End(absl::DeadlineExceededError("the TLS handshake took too long")); });
  watched_ = server_.loop.Watch(transport_->fd(), EPOLLIN, this);
  if (!watched_) {
    server_.loop.Cancel(timer_);
    timer_ = server_.loop.After(absl::ZeroDuration(), [this] { End(absl::ErrnoToStatus(ENOMEM, "cannot watch")); });
  }
}

void ServerConnection::OnReady(uint32_t) {
  if (server_.handshakes.Ask(this, [this] { StepHandshake(); })) return;
  // It waits, and epoll would say again each turn what is known.
  server_.loop.Forget(transport_->fd());
  watched_ = false;
}

void ServerConnection::Await(uint32_t events) {
  if (watched_) return server_.loop.Change(transport_->fd(), events);
  watched_ = server_.loop.Watch(transport_->fd(), events, this);
  if (!watched_) End(absl::ResourceExhaustedError("the kernel has no room to watch one more connection"));
}

void ServerConnection::StepHandshake() {
  switch (transport_->Handshake().state) {
    case IoState::kNeedsRead:
      return Await(EPOLLIN);
    case IoState::kNeedsWrite:
      return Await(EPOLLOUT);
    case IoState::kMoved:
      if (const absl::Status status = Open(); !status.ok()) End(status);
      return;
    default:
      return End(transport_->HandshakeError());
  }
}

absl::Status ServerConnection::Open() {
  if (absl::Status status = transport_->CheckHttp2(); !status.ok()) return status;
  absl::StatusOr<InnerLink> link = InnerLink::Create();
  if (!link.ok()) return link.status();
  server_.loop.Cancel(timer_);
  server_.loop.Forget(transport_->fd());
  name_ = link->name;
  peer_ = SharedPeerOf(ssl_);
  if (peer_ != nullptr) server_.peers.Add(name_, peer_);
  relay_ = std::make_unique<Relay>(server_.loop, std::move(transport_), std::move(link->relay_end),
                                   [this](const absl::Status& status) { End(status); },
                                   std::make_unique<StreamLimit>(server_.max_streams, nullptr));
  relay_->Start();
  server_.host.Serve(std::move(link->grpc_end));
  on_open_();
  if (peer_ != nullptr) {
    CheckExpiry();   // last: it may end this connection
  } else {
    timer_ = server_.loop.After(server_.anonymous_timeout, [this] {
      End(absl::DeadlineExceededError("a client without an SVID took too long with what it had to ask"));
    });
  }
  return absl::OkStatus();
}

void ServerConnection::CheckExpiry() {
  const absl::Duration left = peer_->not_after - server_.clock.Now();
  if (left < absl::ZeroDuration()) return End(SvidError(SvidDefect::kExpired, "the peer's SVID has expired"));
  // A time is valid through its last second (RFC 5280 4.1.2.5).
  timer_ = server_.loop.After(std::min(left + absl::Milliseconds(1), kExpiryLook), [this] { CheckExpiry(); });
}

absl::Status ServerConnection::Reverify(const TlsContext& context) const { return context.Reverify(ssl_); }

void ServerConnection::End(const absl::Status& status) {
  const absl::Status kept = status;
  auto on_end = std::move(on_end_);
  on_end(kept);
}

}  // namespace lanyard
