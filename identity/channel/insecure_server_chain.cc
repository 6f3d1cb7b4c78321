#include "identity/channel/insecure_server_chain.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/channel/endpoint.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

// True when `fd` is ready; false at the deadline.
bool WaitFor(int fd, short events, absl::Duration deadline) {
  for (;;) {
    const absl::Duration left = deadline - SystemClock().Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    pollfd entry = {.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min(absl::ToInt64Milliseconds(left) + 1, int64_t{60000})));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// A connected, non-blocking socket.
absl::StatusOr<int> ConnectTo(const Endpoint& to, absl::Duration deadline) {
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
  int error = connect(fd, to.get(), to.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    error = ETIMEDOUT;
    if (WaitFor(fd, POLLOUT, deadline)) {
      socklen_t size = sizeof(error);
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  if (error == 0) return fd;
  close(fd);
  return absl::UnavailableError(absl::ErrnoToStatus(error, "cannot connect").message());
}

ssl_verify_result_t AcceptAnything(SSL*, uint8_t*) { return ssl_verify_ok; }

absl::StatusOr<std::vector<Certificate>> Handshake(int fd, absl::Duration deadline) {
  const bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_custom_verify(context.get(), SSL_VERIFY_PEER, AcceptAnything);
  const bssl::UniquePtr<SSL> ssl(SSL_new(context.get()));
  static constexpr uint8_t kH2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kH2, sizeof(kH2));
  SSL_set_fd(ssl.get(), fd);
  SSL_set_connect_state(ssl.get());
  for (;;) {
    const int done = SSL_do_handshake(ssl.get());
    if (done == 1) break;
    const int error = SSL_get_error(ssl.get(), done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      return absl::UnauthenticatedError(absl::StrCat("TLS handshake failed: ", TakeTlsError()));
    }
    if (!WaitFor(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) {
      return absl::DeadlineExceededError("TLS handshake not done in time");
    }
  }
  std::vector<Certificate> chain;
  const STACK_OF(CRYPTO_BUFFER)* const shown = SSL_get0_peer_certificates(ssl.get());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(shown); ++i) {
    const CRYPTO_BUFFER* const der = sk_CRYPTO_BUFFER_value(shown, i);
    absl::StatusOr<Certificate> certificate =
        Certificate::Parse({CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der)});
    if (!certificate.ok()) return absl::UnauthenticatedError(certificate.status().message());
    chain.push_back(*std::move(certificate));
  }
  if (chain.empty()) return absl::UnauthenticatedError("the server showed no certificate");
  return chain;
}

}  // namespace

absl::StatusOr<std::vector<Certificate>> InsecureServerChain(const std::string& address, absl::Duration timeout) {
  const absl::Duration deadline = SystemClock().Monotonic() + timeout;
  const absl::StatusOr<std::vector<Endpoint>> endpoints = DialEndpoints(address);
  if (!endpoints.ok()) return endpoints.status();
  absl::Status last = absl::UnavailableError("no address");
  for (const Endpoint& to : *endpoints) {
    const absl::StatusOr<int> fd = ConnectTo(to, deadline);
    if (!fd.ok()) {
      last = fd.status();
      continue;
    }
    const auto close_it = absl::MakeCleanup([fd = *fd] { close(fd); });
    absl::StatusOr<std::vector<Certificate>> chain = Handshake(*fd, deadline);
    if (chain.ok()) return chain;
    last = chain.status();
  }
  return absl::Status(last.code(), absl::StrCat(address, ": ", last.message()));
}

}  // namespace lanyard
