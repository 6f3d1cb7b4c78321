#include "identity/channel/server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/channel/endpoint.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/grpc_host.h"
#include "identity/channel/handshake_share.h"
#include "identity/channel/listener.h"
#include "identity/channel/log_limit.h"
#include "identity/channel/server_connection.h"
#include "identity/channel/unidentified_clients.h"

namespace lanyard {
namespace {

absl::StatusOr<Descriptor> Listen(const std::string& address) {
  const absl::StatusOr<Endpoint> endpoint = ListenEndpoint(address);
  if (!endpoint.ok()) return endpoint.status();
  Descriptor socket(::socket(endpoint->family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!socket.valid() || setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(socket.get(), endpoint->get(), endpoint->size) != 0 || listen(socket.get(), SOMAXCONN) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot listen on ", address));
  }
  return socket;
}

uint16_t PortOf(int socket) {
  Endpoint endpoint;
  endpoint.size = sizeof(endpoint.address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.size);
  return ntohs(endpoint.family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(endpoint.get())->sin6_port
                                             : reinterpret_cast<const sockaddr_in*>(endpoint.get())->sin_port);
}

// Of a client; one that is gone already has none.
Endpoint PeerAddressOf(int socket) {
  Endpoint endpoint;
  endpoint.size = sizeof(endpoint.address);
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.size) != 0) return {};
  return endpoint;
}

}  // namespace

struct ChannelServer::State {
  State(Options options_in, std::shared_ptr<const TlsContext> context_in)
      : options(std::move(options_in)), context(std::move(context_in)) {}

  // From here to `connections`: the loop's thread only.
  void Accept(Descriptor socket);
  // Of a connection that is to be: whether there is room, where need be at the expense of another.
  bool MakeRoom();
  void Opened(uint64_t id);
  void Forget(uint64_t id, const SpiffeId& peer);
  void End(uint64_t id, const absl::Status& status);
  void Replace(std::shared_ptr<const TlsContext> next);
  size_t CloseMatching(const std::function<bool(const VerifiedSvid&)>& matches);

  const Options options;
  uint16_t port = 0;
  PeerTable<VerifiedSvid> peers;
  std::unique_ptr<GrpcHost> host;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<HandshakeShare> handshakes;
  std::unique_ptr<ServerConnection::Server> server;

  Stats stats;
  std::shared_ptr<const TlsContext> context;
  std::unique_ptr<Listener> listener;
  uint64_t next_id = 1;
  std::map<uint64_t, std::unique_ptr<ServerConnection>> connections;   // by age
  UnidentifiedClients unidentified;                                     // of these
  std::map<SpiffeId, std::deque<uint64_t>> by_peer;                     // the others, in the order in which they opened
  LogLimit log_limit;
};

void ChannelServer::State::Accept(Descriptor socket) {
  ++stats.accepted;
  if (!MakeRoom()) return;
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  bssl::UniquePtr<SSL> ssl = context->NewServer(options.require_client_svid);
  if (ssl == nullptr) return;
  const uint64_t id = next_id++;
  unidentified.Add(id, SourceOf(PeerAddressOf(socket.get())));
  auto connection = std::make_unique<ServerConnection>(
      *server, std::make_unique<TlsTransport>(std::move(socket), std::move(ssl)),
      [this, id] { Opened(id); }, [this, id](const absl::Status& status) { End(id, status); });
  connection->Start(options.handshake_timeout);
  connections.emplace(id, std::move(connection));
}

bool ChannelServer::State::MakeRoom() {
  const bool full = connections.size() >= options.max_connections;
  if (!full && unidentified.size() < options.max_unidentified) return true;
  if (!unidentified.empty()) {
    End(unidentified.FirstToEnd(), absl::ResourceExhaustedError("too many connections of clients that show no SVID"));
    return true;
  }
  ++stats.refused_limit;
  if (log_limit.Allow(EventLoop::Now())) {
    Log(LogLevel::kWarning, "refused a connection",
        {{"address", options.address}, {"reason", "too many connections"}, {"open", connections.size()},
         {"suppressed", log_limit.suppressed()}});
  }
  return false;
}

void ChannelServer::State::Opened(uint64_t id) {
  ++stats.open;
  const VerifiedSvid* const peer = connections.at(id)->peer();
  if (peer == nullptr) return;
  unidentified.Remove(id);
  std::deque<uint64_t>& own = by_peer[peer->id];
  own.push_back(id);
  // Never the one that has opened just now, which is still at it.
  if (own.size() > std::max<size_t>(options.max_connections_per_id, 1)) {
    End(own.front(), absl::ResourceExhaustedError("too many connections of this SPIFFE ID, of which the newest stay"));
  }
}

void ChannelServer::State::Forget(uint64_t id, const SpiffeId& peer) {
  const auto own = by_peer.find(peer);
  if (own == by_peer.end()) return;
  std::erase(own->second, id);
  if (own->second.empty()) by_peer.erase(own);
}

void ChannelServer::State::End(uint64_t id, const absl::Status& status) {
  const auto found = connections.find(id);
  const std::unique_ptr<ServerConnection> connection = std::move(found->second);
  connections.erase(found);
  unidentified.Remove(id);
  if (connection->peer() != nullptr) Forget(id, connection->peer()->id);
  if (connection->open()) {
    --stats.open;
    if (status.ok() || absl::IsUnavailable(status)) return;
    if (connection->peer() == nullptr) {
      ++stats.ended_anonymous;
    } else if (absl::IsResourceExhausted(status)) {
      ++stats.refused_limit;
    }
  } else {
    ++stats.failed_handshakes;
  }
  if (!log_limit.Allow(EventLoop::Now())) return;
  Log(LogLevel::kWarning, connection->open() ? "closed a connection" : "refused a connection",
      {{"address", options.address}, {"peer", connection->peer() ? connection->peer()->id.ToString() : ""},
       {"reason", status}, {"defect", SvidDefectName(DefectOf(status))}, {"suppressed", log_limit.suppressed()}});
}

void ChannelServer::State::Replace(std::shared_ptr<const TlsContext> next) {
  context = std::move(next);
  std::vector<std::pair<uint64_t, absl::Status>> refused;
  for (const auto& [id, connection] : connections) {
    // A handshake under way was begun with the old bundles.
    const absl::Status status =
        connection->open() ? connection->Reverify(*context) : absl::AbortedError("the trust bundles changed");
    if (!status.ok()) refused.emplace_back(id, status);
  }
  for (const auto& [id, status] : refused) End(id, status);
}

size_t ChannelServer::State::CloseMatching(const std::function<bool(const VerifiedSvid&)>& matches) {
  std::vector<uint64_t> matching;
  for (const auto& [id, connection] : connections) {
    if (connection->peer() != nullptr && matches(*connection->peer())) matching.push_back(id);
  }
  for (const uint64_t id : matching) End(id, absl::OkStatus());
  return matching.size();
}

ChannelServer::ChannelServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChannelServer::~ChannelServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<ChannelServer>> ChannelServer::Start(Options options,
                                                                    std::shared_ptr<const TlsContext> context,
                                                                    std::vector<grpc::Service*> services) {
  absl::StatusOr<Descriptor> socket = Listen(options.address);
  if (!socket.ok()) return socket.status();
  auto host = GrpcHost::Start(services, {.max_request_bytes = options.max_message_bytes,
                                         .max_streams = options.max_calls_per_connection,
                                         .memory_bytes = options.memory_bytes});
  if (!host.ok()) return host.status();
  auto loop = EventLoop::Start("channel-server");
  if (!loop.ok()) return loop.status();
  auto state = std::make_unique<State>(std::move(options), std::move(context));
  State* const raw = state.get();
  raw->port = PortOf(socket->get());
  raw->host = *std::move(host);
  raw->loop = *std::move(loop);
  raw->handshakes = std::make_unique<HandshakeShare>(*raw->loop);
  raw->server = std::make_unique<ServerConnection::Server>(ServerConnection::Server{
      *raw->loop, *raw->handshakes, *raw->host, raw->peers, raw->context->clock(), raw->options.anonymous_timeout,
      2 * static_cast<size_t>(raw->options.max_calls_per_connection)});
  std::unique_ptr<ChannelServer> server(new ChannelServer(std::move(state)));
  absl::Status listening;
  raw->loop->RunAndWait([raw, &socket, &listening] {
    raw->listener = std::make_unique<Listener>(*raw->loop, *std::move(socket),
                                               [raw](Descriptor accepted) { raw->Accept(std::move(accepted)); });
    listening = raw->listener->Start();
  });
  if (!listening.ok()) return listening;
  return server;
}

void ChannelServer::SetContext(std::shared_ptr<const TlsContext> context) {
  state_->loop->RunAndWait([this, &context] { state_->Replace(std::move(context)); });
}

std::optional<VerifiedSvid> ChannelServer::PeerOf(const grpc::ServerContextBase& call) const {
  const std::shared_ptr<const VerifiedSvid> peer = state_->peers.Find(InnerLinkOf(call));
  if (peer == nullptr) return std::nullopt;
  return *peer;
}

size_t ChannelServer::CloseConnections(const std::function<bool(const VerifiedSvid& peer)>& matches) {
  size_t closed = 0;
  state_->loop->RunAndWait([this, &matches, &closed] { closed = state_->CloseMatching(matches); });
  return closed;
}

uint16_t ChannelServer::port() const { return state_->port; }

ChannelServer::Stats ChannelServer::stats() const {
  Stats stats;
  state_->loop->RunAndWait([this, &stats] { stats = state_->stats; });
  return stats;
}

void ChannelServer::Shutdown(absl::Duration grace) {
  state_->loop->RunAndWait([this] { state_->listener.reset(); });
  // The relays go on meanwhile: they carry the answers of the calls in flight.
  state_->host->Shutdown(grace);
  state_->loop->RunAndWait([this] {
    while (!state_->connections.empty()) state_->End(state_->connections.begin()->first, absl::OkStatus());
  });
  state_->loop->Stop();
}

}  // namespace lanyard
