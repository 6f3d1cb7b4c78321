#include "proxy/connection/acceptor.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/inbound.h"
#include "proxy/connection/outbound.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLogInterval = absl::Seconds(1);

bool IsCapture(ListenerKind kind) {
  return kind == ListenerKind::kOutboundCapture || kind == ListenerKind::kInboundCapture;
}

Flow FlowOf(ListenerKind kind) {
  const bool out = kind == ListenerKind::kOutboundCapture || kind == ListenerKind::kOutboundStatic;
  return out ? Flow::kOutbound : Flow::kInbound;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Bind(WorkerContext* context, std::vector<ListenerSpec> specs) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(context));
  for (ListenerSpec& spec : specs) {
    Door door{.spec = std::move(spec), .fixed = nullptr, .listener = nullptr};
    if (!IsCapture(door.spec.kind)) {
      absl::StatusOr<Destination> fixed = Destination::Parse(door.spec.destination);
      if (!fixed.ok()) return fixed.status();
      door.fixed = std::make_unique<Destination>(*std::move(fixed));
    }
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(context->loop, door.spec.address);
    if (!listener.ok()) {
      return absl::Status(listener.status().code(), absl::StrCat("listener \"", door.spec.name, "\": ",
                                                                 listener.status().message()));
    }
    door.listener = *std::move(listener);
    // Whoever is to call from others' addresses must be allowed to: better told now than at every connection.
    if (door.spec.transparent || door.spec.preserve_source) {
      const absl::Status allowed = door.listener->MakeTransparent();
      if (!allowed.ok()) {
        return absl::Status(allowed.code(), absl::StrCat("listener \"", door.spec.name, "\": ", allowed.message()));
      }
    }
    acceptor->doors_.push_back(std::move(door));
  }
  return acceptor;
}

absl::Status Acceptor::Start() {
  for (size_t i = 0; i < doors_.size(); ++i) {
    Listener::Events events;
    events.on_accept = [this, i](UniqueFd fd, const SocketAddress& source) { Accept(i, std::move(fd), source); };
    events.on_pause = [this](int error_number) {
      context_->counters->accept_paused.Add();
      if (MayLog()) {
        Log(LogLevel::kWarning, "accepting is paused until descriptors are free; raise the limit of open files",
            {{"error", strerrordesc_np(error_number)}});
      }
    };
    if (absl::Status started = doors_[i].listener->Start(std::move(events)); !started.ok()) return started;
  }
  return absl::OkStatus();
}

void Acceptor::Drain() {
  for (Door& door : doors_) door.listener->Drain();
}

void Acceptor::Close() {
  for (Door& door : doors_) door.listener->Close();
}

std::vector<SocketAddress> Acceptor::addresses() const {
  std::vector<SocketAddress> addresses;
  for (const Door& door : doors_) addresses.push_back(door.listener->address());
  return addresses;
}

bool Acceptor::MayLog() {
  if (context_->loop->now() < next_log_) return false;
  next_log_ = context_->loop->now() + kLogInterval;
  return true;
}

// Untracked connections were not redirected: TPROXY brought them, and the socket has the address they were meant
// for, or they dialled the listener.
absl::StatusOr<SocketAddress> Acceptor::MeantFor(int fd, const SocketAddress& source) const {
  absl::StatusOr<SocketAddress> local = LocalAddress(fd);
  if (!local.ok()) return local;
  const absl::StatusOr<SocketAddress> original = OriginalDestination(fd, source);
  const SocketAddress& meant = original.ok() ? *original : *local;
  if (IsCapturePort(meant, *local)) return absl::FailedPreconditionError("the capture port itself was dialled");
  return meant;
}

// `local` is the accepted socket's own address: one of this machine's, or by TPROXY any.
bool Acceptor::IsCapturePort(const SocketAddress& destination, const SocketAddress& local) const {
  if (!destination.is_loopback() && destination.HostString() != local.HostString()) return false;
  for (const Door& door : doors_) {
    if (IsCapture(door.spec.kind) && door.listener->address().port() == destination.port()) {
      return IsOwnAddress(destination);
    }
  }
  return false;
}

void Acceptor::Accept(size_t index, UniqueFd fd, const SocketAddress& source) {
  const Door& door = doors_[index];
  const Flow flow = FlowOf(door.spec.kind);
  if (context_->table->size() >= context_->limits.max_connections) {
    ResetOnClose(fd.get());
    context_->limits_reached->Reached(Limit::kConnections,
                                      absl::StrCat("callers of listener \"", door.spec.name, "\" are turned away"));
    context_->counters->closes[static_cast<size_t>(flow)][static_cast<size_t>(CloseReason::kLimitConnections)].Add();
    return;
  }
  Arrival arrival{.stream = nullptr,
                  .listener = index,
                  .spec = &door.spec,
                  .fixed = door.fixed.get(),
                  .source = source,
                  .dialled = door.listener->address(),
                  .looped = false};
  if (door.fixed == nullptr) {
    const absl::StatusOr<SocketAddress> meant = MeantFor(fd.get(), source);
    arrival.looped = !meant.ok();
    if (meant.ok()) arrival.dialled = *meant;
  }
  arrival.stream = TcpStream::Accepted(context_->loop, std::move(fd));
  if (flow == Flow::kOutbound) {
    OutboundConnection::Start(context_, std::move(arrival));
  } else {
    InboundConnection::Start(context_, std::move(arrival));
  }
}

}  // namespace lanyard
