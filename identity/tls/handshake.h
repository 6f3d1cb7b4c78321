// What BoringSSL asks us during a handshake: is this peer who it must be, which protocol, which ticket.
// Private to identity/tls.
#pragma once

#include <openssl/ssl.h>

namespace lanyard {

// Sets every callback of a context whose connections carry a ConnectionState.
void InstallHandshakeCallbacks(SSL_CTX* ctx);

// The custom verify callback of both sides: runs on full handshakes and, on a client, on resumptions. (A server
// verifies a resumed client when it opens the ticket, because BoringSSL does not ask it again.)
enum ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* out_alert);

}  // namespace lanyard
