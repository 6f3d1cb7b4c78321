#include "identity/channel/client.h"

#include <errno.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/channel/endpoint.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/grpc_host.h"
#include "identity/channel/inner_link.h"
#include "identity/channel/relay.h"
#include "identity/channel/tls_transport.h"

namespace lanyard {
namespace {

// The wall clock may be set: an expiry far away is looked at again before it is due.
constexpr absl::Duration kExpiryLook = absl::Seconds(10);

// False once `deadline` (monotonic) has passed.
bool Await(int fd, short events, absl::Duration deadline) {
  while (true) {
    const absl::Duration left = deadline - EventLoop::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd poll_for = {fd, events, 0};
    const int64_t left_ms = std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60000);
    const int ready = poll(&poll_for, 1, static_cast<int>(left_ms));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
  }
}

absl::StatusOr<Descriptor> ConnectTo(const Endpoint& endpoint, absl::Duration deadline) {
  Descriptor socket(::socket(endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return absl::ErrnoToStatus(errno, "cannot make a socket");
  int error = 0;
  if (connect(socket.get(), endpoint.get(), endpoint.size) != 0) error = errno;
  if (error == EINPROGRESS) {
    if (!Await(socket.get(), POLLOUT, deadline)) return absl::DeadlineExceededError("connecting took too long");
    socklen_t size = sizeof(error);
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return absl::UnavailableError(strerror(error));
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return socket;
}

absl::StatusOr<Descriptor> ConnectToAny(const std::string& address, absl::Duration deadline) {
  const absl::StatusOr<std::vector<Endpoint>> endpoints = DialEndpoints(address);
  if (!endpoints.ok()) return endpoints.status();
  absl::Status last = absl::UnavailableError("no address");
  for (const Endpoint& endpoint : *endpoints) {
    absl::StatusOr<Descriptor> socket = ConnectTo(endpoint, deadline);
    if (socket.ok()) return socket;
    last = socket.status();
  }
  return absl::Status(last.code(), absl::StrCat("cannot connect to ", address, ": ", last.message()));
}

// Repeats `step` until it moved, has failed, or time is up (DeadlineExceeded naming `what`).
template <typename Step>
absl::StatusOr<IoState> Drive(TlsTransport& transport, absl::Duration deadline, absl::string_view what, Step step) {
  while (true) {
    const IoState state = step().state;
    if (state != IoState::kNeedsRead && state != IoState::kNeedsWrite) return state;
    if (!Await(transport.fd(), state == IoState::kNeedsRead ? POLLIN : POLLOUT, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(what, " took too long"));
    }
  }
}

// Unauthenticated with the SvidDefect, as the header promises, whatever code the refusal had.
absl::Status Refusal(const absl::Status& error) {
  if (DefectOf(error) == SvidDefect::kNone) return error;
  absl::Status refusal = absl::UnauthenticatedError(error.message());
  error.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) { refusal.SetPayload(type, payload); });
  return refusal;
}

absl::Status Authenticate(TlsTransport& transport, const ChannelClient::Options& options, absl::Duration deadline) {
  const auto handshake =
      Drive(transport, deadline, "the TLS handshake", [&transport] { return transport.Handshake(); });
  if (!handshake.ok()) return handshake.status();
  if (*handshake != IoState::kMoved) return Refusal(transport.HandshakeError());
  if (absl::Status status = transport.CheckHttp2(); !status.ok()) return status;
  const VerifiedSvid* server = PeerOf(transport.ssl());
  if (server == nullptr || !options.expect_server(server->id)) {
    const std::string who = server ? server->id.ToString() : "nobody";
    return absl::PermissionDeniedError(
        absl::StrCat("the server at ", options.address, " is ", who, ", not who is expected"));
  }
  // In TLS 1.3 a client is done before the server has looked at it. HTTP/2 servers speak at once when they
  // accept; what comes instead says why they do not.
  const auto first =
      Drive(transport, deadline, "the server's first word", [&transport] { return transport.AwaitData(); });
  if (!first.ok()) return first.status();
  if (*first == IoState::kMoved) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the server at ", options.address, " does not let us in: ", transport.error()));
}

}  // namespace

struct ChannelClient::State {
  // From here to `relay`: the loop's thread only.
  void CheckExpiry();
  void Close() { relay.reset(); }

  std::shared_ptr<const VerifiedSvid> server;
  const Clock* clock;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Relay> relay;
};

void ChannelClient::State::CheckExpiry() {
  const absl::Duration left = server->not_after - clock->Now();
  if (left < absl::ZeroDuration()) return Close();
  loop->After(std::min(left + absl::Milliseconds(1), kExpiryLook), [this] { CheckExpiry(); });
}

ChannelClient::ChannelClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

ChannelClient::~ChannelClient() {
  state_->loop->RunAndWait([this] { state_->Close(); });
  state_->loop->Stop();
}

absl::StatusOr<std::unique_ptr<ChannelClient>> ChannelClient::Dial(Options options,
                                                                   std::shared_ptr<const TlsContext> context) {
  const absl::Duration deadline = EventLoop::Now() + options.timeout;
  absl::StatusOr<Descriptor> socket = ConnectToAny(options.address, deadline);
  if (!socket.ok()) return socket.status();
  bssl::UniquePtr<SSL> ssl = context->NewClient();
  if (ssl == nullptr) return absl::ResourceExhaustedError("no memory for a TLS connection");
  auto transport = std::make_unique<TlsTransport>(*std::move(socket), std::move(ssl));
  if (absl::Status status = Authenticate(*transport, options, deadline); !status.ok()) return status;

  absl::StatusOr<InnerLink> link = InnerLink::Create();
  if (!link.ok()) return link.status();
  auto loop = EventLoop::Start("channel-client");
  if (!loop.ok()) return loop.status();
  auto state = std::make_unique<State>();
  state->server = SharedPeerOf(transport->ssl());
  state->clock = &context->clock();
  state->loop = *std::move(loop);

  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageSizeBytes);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, state->server->id.trust_domain().name());
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  state->channel = grpc::CreateCustomInsecureChannelFromFd(options.address, link->grpc_end.Release(), arguments);

  State* const raw = state.get();
  raw->loop->RunAndWait([raw, &transport, &link] {
    raw->relay = std::make_unique<Relay>(*raw->loop, std::move(transport), std::move(link->relay_end),
                                         [raw](const absl::Status&) { raw->Close(); });
    raw->relay->Start();
    raw->CheckExpiry();
  });
  return std::unique_ptr<ChannelClient>(new ChannelClient(std::move(state)));
}

std::shared_ptr<grpc::Channel> ChannelClient::channel() const { return state_->channel; }
const VerifiedSvid& ChannelClient::server() const { return *state_->server; }

}  // namespace lanyard
