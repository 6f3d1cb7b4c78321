#include "proxy/connection/acceptor.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/inbound.h"
#include "proxy/connection/newcomers.h"
#include "proxy/connection/outbound.h"
#include "proxy/io/socket.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLogInterval = absl::Seconds(1);
// A static listener may lead to another of this proxy's, and so on; so often, then it is a circle.
constexpr int kMostHops = 4;

bool IsCapture(ListenerKind kind) {
  return kind == ListenerKind::kOutboundCapture || kind == ListenerKind::kInboundCapture;
}

Flow FlowOf(ListenerKind kind) {
  const bool out = kind == ListenerKind::kOutboundCapture || kind == ListenerKind::kOutboundStatic;
  return out ? Flow::kOutbound : Flow::kInbound;
}

// Of a captured connection. One that is not tracked was not redirected: TPROXY or a socket lookup brought it, and the
// socket has the address it was meant for, or it dialled the listener.
absl::StatusOr<SocketAddress> MeantFor(int fd, const SocketAddress& source) {
  absl::StatusOr<SocketAddress> original = OriginalDestination(fd, source);
  if (original.ok()) return original;
  return LocalAddress(fd);
}

}  // namespace

bool IsMisdirected(ListenerKind kind, const SocketAddress& source, const SocketAddress& dialled) {
  if (kind != ListenerKind::kInboundCapture || source.is_loopback()) return false;
  return dialled.is_loopback() || dialled.is_unspecified();
}

absl::StatusOr<std::vector<std::unique_ptr<Listener>>> Acceptor::Open(EventLoop* loop, const ListenerSpec& spec,
                                                                      std::vector<UniqueFd> sockets) {
  const bool transparent = spec.transparent || spec.preserve_source;
  std::vector<std::unique_ptr<Listener>> listeners;
  for (UniqueFd& socket : sockets) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Adopt(loop, std::move(socket));
    if (!listener.ok()) return listener.status();
    // The process before this one still accepts from it, and goes on to if this one fails: nothing of it is changed.
    if ((*listener)->IsTransparent() != transparent) {
      return absl::FailedPreconditionError(absl::StrCat(
          "its socket was opened ", transparent ? "without" : "with",
          " IP_TRANSPARENT, which no upgrade changes: restart the proxy to change capture.mode or preserve_source"));
    }
    listeners.push_back(*std::move(listener));
  }
  if (listeners.empty()) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(loop, spec.address);
    if (!listener.ok()) return listener.status();
    listeners.push_back(*std::move(listener));
  }
  // Whoever is to call from others' addresses must be allowed to: better told now than at every connection.
  for (const auto& listener : listeners) {
    if (!transparent) break;
    if (absl::Status allowed = listener->MakeTransparent(); !allowed.ok()) return allowed;
  }
  return listeners;
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Bind(WorkerContext* context, std::vector<ListenerSpec> specs,
                                                         Sockets sockets) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(context));
  sockets.resize(specs.size());
  for (ListenerSpec& spec : specs) {
    Door door{.spec = std::move(spec), .fixed = nullptr, .listeners = {}};
    if (!IsCapture(door.spec.kind)) {
      absl::StatusOr<Destination> fixed = Destination::Parse(door.spec.destination);
      if (!fixed.ok()) return fixed.status();
      door.fixed = std::make_unique<Destination>(*std::move(fixed));
    }
    auto listeners = Open(context->loop, door.spec, std::move(sockets[acceptor->doors_.size()]));
    if (!listeners.ok()) {
      return absl::Status(listeners.status().code(), absl::StrCat("listener \"", door.spec.name, "\": ",
                                                                  listeners.status().message()));
    }
    door.listeners = *std::move(listeners);
    if (IsCapture(door.spec.kind)) {
      for (const auto& each : door.listeners) context->own_sockets->Captures(each->address());
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
    for (const auto& listener : doors_[i].listeners) {
      if (absl::Status started = listener->Start(events); !started.ok()) return started;
    }
  }
  return absl::OkStatus();
}

void Acceptor::Drain() {
  for (Door& door : doors_) {
    for (const auto& listener : door.listeners) listener->Drain();
  }
}

void Acceptor::Close() {
  for (Door& door : doors_) {
    for (const auto& listener : door.listeners) listener->Close();
  }
}

std::vector<SocketAddress> Acceptor::addresses() const {
  std::vector<SocketAddress> addresses;
  for (const Door& door : doors_) addresses.push_back(door.listeners.front()->address());
  return addresses;
}

std::vector<std::vector<int>> Acceptor::sockets() const {
  std::vector<std::vector<int>> sockets(doors_.size());
  for (size_t i = 0; i < doors_.size(); ++i) {
    for (const auto& listener : doors_[i].listeners) sockets[i].push_back(listener->fd());
  }
  return sockets;
}

Acceptor::Known Acceptor::Find(absl::string_view name) const {
  for (size_t i = 0; i < doors_.size(); ++i) {
    if (doors_[i].spec.name == name) return {i, &doors_[i].spec, doors_[i].fixed.get()};
  }
  return {0, nullptr, nullptr};
}

bool Acceptor::MayLog() {
  if (context_->loop->now() < next_log_) return false;
  next_log_ = context_->loop->now() + kLogInterval;
  return true;
}

void Acceptor::Trace(const Door& door, int fd, Arrival& arrival) const {
  const bool captured = door.fixed == nullptr;
  if (captured) {
    const absl::StatusOr<SocketAddress> meant = MeantFor(fd, arrival.source);
    if (!meant.ok()) {
      arrival.loop = "where the connection was meant to go is not known";
      return;
    }
    arrival.dialled = *meant;
    arrival.misdirected = IsMisdirected(door.spec.kind, arrival.source, *meant);
    // Its other listeners and its admin address may well be called through it, and the rules say by whom.
    if (context_->own_sockets->CapturesAt(*meant)) {
      arrival.loop = "a capture port itself was dialled; nothing is redirected to it";
      return;
    }
  } else if (!door.spec.server_headers.empty()) {
    const absl::StatusOr<SocketAddress> local = LocalAddress(fd);
    if (local.ok()) arrival.dialled = *local;
  }
  arrival.hops = context_->own_sockets->HopsOf(arrival.source, [&] {
    std::vector<SocketAddress> reached;
    for (const auto& each : {OriginalDestination(fd, arrival.source), LocalAddress(fd)}) {
      if (each.ok()) reached.push_back(*each);
    }
    return reached;
  });
  if (captured && arrival.hops > 0) {
    arrival.loop =
        "the proxy dialled this itself and the capture rules sent it back: exempt the user it runs as "
        "(lanyard capture up --proxy-uid)";
  } else if (arrival.hops > kMostHops) {
    arrival.loop = "the call has passed this proxy's listeners again and again: a destination of theirs leads back";
  }
}

void Acceptor::Accept(size_t index, UniqueFd fd, const SocketAddress& source) {
  const Door& door = doors_[index];
  const Flow flow = FlowOf(door.spec.kind);
  const bool room = flow == Flow::kOutbound ? MakeRoom(*context_)
                                            : !IsFull(*context_) || context_->table->EndUnknownFor(SourceKey(source));
  if (!room) {
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
                  .dialled = door.listeners.front()->address()};
  Trace(door, fd.get(), arrival);
  arrival.stream = TcpStream::Accepted(context_->loop, std::move(fd));
  if (flow == Flow::kOutbound) {
    OutboundConnection::Start(context_, std::move(arrival));
  } else {
    InboundConnection::Start(context_, std::move(arrival));
  }
}

}  // namespace lanyard
