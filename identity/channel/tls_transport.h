// TLS over a non-blocking socket. Private to identity/channel.
#pragma once

#include <string>

#include <openssl/ssl.h>

#include "absl/status/status.h"
#include "identity/channel/transport.h"

namespace lanyard {

class TlsTransport : public Transport {
 public:
  // `ssl` from TlsContext, without a BIO yet.
  TlsTransport(Descriptor socket, bssl::UniquePtr<SSL> ssl);

  // Until kMoved. kFailed: HandshakeError() says why.
  IoResult Handshake();
  // Unauthenticated with the SvidDefect where the peer's SVID was refused; otherwise what BoringSSL or the kernel says.
  absl::Status HandshakeError() const;
  // kMoved once the peer has sent a first byte of data, which stays to be read.
  IoResult AwaitData();

  IoResult Read(absl::Span<char> into) override;
  IoResult Write(absl::Span<const char> from) override;
  void CloseWrite() override;
  int fd() const override { return socket_.get(); }
  std::string error() const override { return error_; }
  const SSL* ssl() const { return ssl_.get(); }
  // FailedPrecondition unless both sides agreed (ALPN) on HTTP/2, which gRPC speaks; after the handshake.
  absl::Status CheckHttp2() const;

 private:
  IoResult Result(int result);

  const Descriptor socket_;
  const bssl::UniquePtr<SSL> ssl_;
  std::string error_;
};

}  // namespace lanyard
