#include "identity/channel/tls_transport.h"

#include <errno.h>
#include <string.h>
#include <openssl/bio.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

// BoringSSL's own socket BIO would raise SIGPIPE. The descriptor is BIO_set_data's pointer value.
int DescriptorOf(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int BioRead(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const IoResult result = ReadSocket(DescriptorOf(bio), absl::MakeSpan(into, static_cast<size_t>(size)));
  if (result.state == IoState::kMoved) return static_cast<int>(result.size_bytes);
  if (result.state == IoState::kNeedsRead) BIO_set_retry_read(bio);
  return result.state == IoState::kEnded ? 0 : -1;
}

int BioWrite(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const IoResult result = WriteSocket(DescriptorOf(bio), absl::MakeSpan(from, static_cast<size_t>(size)));
  if (result.state == IoState::kMoved) return static_cast<int>(result.size_bytes);
  if (result.state == IoState::kNeedsWrite) BIO_set_retry_write(bio);
  return -1;
}

long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* SocketMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lanyard socket");
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

int Clamp(size_t size_bytes) { return static_cast<int>(std::min<size_t>(size_bytes, INT_MAX)); }

}  // namespace

TlsTransport::TlsTransport(Descriptor socket, bssl::UniquePtr<SSL> ssl)
    : socket_(std::move(socket)), ssl_(std::move(ssl)) {
  BIO* bio = BIO_new(SocketMethod());
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(socket_.get())));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

IoResult TlsTransport::Result(int result) {
  if (result > 0) return {IoState::kMoved, static_cast<size_t>(result)};
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {IoState::kNeedsRead};
    case SSL_ERROR_WANT_WRITE:
      return {IoState::kNeedsWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {IoState::kEnded};
    case SSL_ERROR_SYSCALL:
      // HTTP/2 frames itself: an end without close_notify cuts nothing off unseen.
      if (result == 0) {
        error_ = "the peer closed the connection";
        return {IoState::kEnded};
      }
      error_ = strerror(saved_errno);
      return {IoState::kFailed};
    default:
      error_ = TakeTlsError();
      return {IoState::kFailed};
  }
}

IoResult TlsTransport::Handshake() {
  const IoResult result = Result(SSL_do_handshake(ssl_.get()));
  return result.state == IoState::kEnded ? IoResult{IoState::kFailed} : result;
}

absl::Status TlsTransport::HandshakeError() const {
  absl::Status refused = PeerVerificationError(ssl_.get());
  if (!refused.ok()) return refused;
  return absl::UnavailableError(absl::StrCat("the TLS handshake failed: ", error_));
}

absl::Status TlsTransport::CheckHttp2() const {
  const uint8_t* protocol;
  unsigned size_bytes;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size_bytes);
  if (absl::string_view(reinterpret_cast<const char*>(protocol), size_bytes) == "h2") return absl::OkStatus();
  return absl::FailedPreconditionError("the peer did not agree on the application protocol h2 (ALPN)");
}

IoResult TlsTransport::AwaitData() {
  char byte;
  return Result(SSL_peek(ssl_.get(), &byte, 1));
}

IoResult TlsTransport::Read(absl::Span<char> into) {
  return Result(SSL_read(ssl_.get(), into.data(), Clamp(into.size())));
}

IoResult TlsTransport::Write(absl::Span<const char> from) {
  return Result(SSL_write(ssl_.get(), from.data(), Clamp(from.size())));
}

void TlsTransport::CloseWrite() {
  SSL_shutdown(ssl_.get());
  TakeTlsError();
}

}  // namespace lanyard
