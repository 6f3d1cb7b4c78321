#include "identity/channel/local_server.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "identity/base/logging.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/grpc_host.h"
#include "identity/channel/inner_link.h"
#include "identity/channel/listener.h"
#include "identity/channel/local_socket.h"
#include "identity/channel/log_limit.h"
#include "identity/channel/peer_process.h"
#include "identity/channel/peer_table.h"
#include "identity/channel/relay.h"
#include "identity/channel/stream_limit.h"

namespace lanyard {

struct LocalServer::State {
  State(Options options_in, LocalSocket socket_in)
      : options(std::move(options_in)), socket(std::make_unique<LocalSocket>(std::move(socket_in))) {}

  // From here to `relays`: the loop's thread only.
  void Accept(Descriptor connection);
  absl::Status Admit(const LocalPeer& peer);
  bool EndOldestUnentitled();
  absl::Status Serve(Descriptor connection, std::shared_ptr<const LocalPeer> peer);
  void End(uint64_t id, const absl::Status& status);

  const Options options;
  std::unique_ptr<LocalSocket> socket;
  PeerTable<LocalPeer> peers;
  std::unique_ptr<GrpcHost> host;
  std::unique_ptr<EventLoop> loop;

  std::unique_ptr<Listener> listener;
  struct User {
    size_t connections = 0;
    StreamLimit::Share calls;
  };
  struct Open {
    std::string name;   // of the inner link
    std::unique_ptr<Relay> relay;
    std::shared_ptr<const LocalPeer> peer;
  };
  std::map<uid_t, User> users;   // who have a connection; its relay borrows `calls`
  uint64_t next_id = 1;
  std::map<uint64_t, Open> relays;   // by age
  LogLimit log_limit;
  Stats stats;
};

absl::Status LocalServer::State::Admit(const LocalPeer& peer) {
  const auto& allowed = options.allowed_uids;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), peer.uid()) == allowed.end()) {
    return absl::PermissionDeniedError("this user may not connect");
  }
  const auto user = users.find(peer.uid());
  if (user != users.end() && user->second.connections >= options.max_connections_per_uid) {
    return absl::ResourceExhaustedError("too many connections of this user");
  }
  if (relays.size() >= options.max_connections && !EndOldestUnentitled()) {
    return absl::ResourceExhaustedError("too many connections");
  }
  return absl::OkStatus();
}

bool LocalServer::State::EndOldestUnentitled() {
  for (const auto& [id, open] : relays) {
    if (open.peer->entitled()) continue;
    End(id, absl::ResourceExhaustedError("too many connections, and this caller is entitled to nothing so far"));
    return true;
  }
  return false;
}

void LocalServer::State::Accept(Descriptor connection) {
  absl::StatusOr<std::shared_ptr<const LocalPeer>> peer = PeerProcessOf(connection.get());
  absl::Status status = peer.status();
  if (peer.ok()) status = Admit(**peer);
  if (status.ok()) status = Serve(std::move(connection), *peer);
  if (absl::IsResourceExhausted(status)) ++stats.refused_limit;
  if (status.ok() || !log_limit.Allow(EventLoop::Now())) return;
  Log(LogLevel::kWarning, "refused a local connection",
      {{"socket", options.path}, {"reason", status}, {"uid", peer.ok() ? int64_t{(*peer)->uid()} : -1},
       {"pid", peer.ok() ? int64_t{(*peer)->pid()} : -1}, {"suppressed", log_limit.suppressed()}});
}

absl::Status LocalServer::State::Serve(Descriptor connection, std::shared_ptr<const LocalPeer> peer) {
  absl::StatusOr<InnerLink> link = InnerLink::Create();
  if (!link.ok()) return link.status();
  const uint64_t id = next_id++;
  peers.Add(link->name, peer);
  User& user = users.try_emplace(peer->uid(), User{0, {.max_open = options.max_calls_per_uid}}).first->second;
  ++user.connections;
  auto relay = std::make_unique<Relay>(
      *loop, std::make_unique<PlainTransport>(std::move(connection)), std::move(link->relay_end),
      [this, id](const absl::Status& status) { End(id, status); },
      std::make_unique<StreamLimit>(2 * static_cast<size_t>(options.max_calls_per_connection), &user.calls));
  relay->Start();
  relays.emplace(id, Open{link->name, std::move(relay), std::move(peer)});
  host->Serve(std::move(link->grpc_end));
  return absl::OkStatus();
}

void LocalServer::State::End(uint64_t id, const absl::Status& status) {
  const auto found = relays.find(id);
  const std::shared_ptr<const LocalPeer> peer = found->second.peer;
  peers.Remove(found->second.name);
  relays.erase(found);
  const auto user = users.find(peer->uid());
  if (--user->second.connections == 0) users.erase(user);
  if (!absl::IsResourceExhausted(status)) return;   // as connections end
  ++stats.ended_limit;
  if (!log_limit.Allow(EventLoop::Now())) return;
  Log(LogLevel::kWarning, "closed a local connection",
      {{"socket", options.path}, {"reason", status}, {"uid", int64_t{peer->uid()}}, {"pid", int64_t{peer->pid()}},
       {"suppressed", log_limit.suppressed()}});
}

LocalServer::LocalServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalServer::~LocalServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<LocalServer>> LocalServer::Start(Options options, std::vector<grpc::Service*> services) {
  absl::StatusOr<LocalSocket> socket = LocalSocket::Create(options.path, options.mode);
  if (!socket.ok()) return socket.status();
  auto state = std::make_unique<State>(std::move(options), *std::move(socket));
  auto host = GrpcHost::Start(services, {.max_request_bytes = state->options.max_message_bytes,
                                         .max_streams = state->options.max_calls_per_connection});
  if (!host.ok()) return host.status();
  auto loop = EventLoop::Start("local-server");
  if (!loop.ok()) return loop.status();
  state->host = *std::move(host);
  state->loop = *std::move(loop);
  absl::Status listening;
  state->loop->RunAndWait([raw = state.get(), &listening] {
    raw->listener = std::make_unique<Listener>(*raw->loop, raw->socket->TakeDescriptor(),
                                               [raw](Descriptor connection) { raw->Accept(std::move(connection)); });
    listening = raw->listener->Start();
  });
  std::unique_ptr<LocalServer> server(new LocalServer(std::move(state)));
  if (!listening.ok()) return listening;
  return server;
}

std::shared_ptr<const LocalPeer> LocalServer::PeerOf(const grpc::ServerContextBase& call) const {
  return state_->peers.Find(InnerLinkOf(call));
}

LocalServer::Stats LocalServer::stats() const {
  Stats stats;
  state_->loop->RunAndWait([this, &stats] { stats = state_->stats; });
  return stats;
}

void LocalServer::Shutdown(absl::Duration grace) {
  state_->loop->RunAndWait([this] {
    state_->socket.reset();
    state_->listener.reset();
  });
  // The relays go on meanwhile: they carry the answers of the calls in flight.
  state_->host->Shutdown(grace);
  state_->loop->RunAndWait([this] {
    while (!state_->relays.empty()) state_->End(state_->relays.begin()->first, absl::OkStatus());
  });
  state_->loop->Stop();
}

}  // namespace lanyard
