#include "identity/tls/loopback_handshake.h"

#include <openssl/bio.h>

#include <utility>

#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

constexpr size_t kPipeSizeBytes = 256 << 10;

bool WantsMore(const SSL* ssl, int result) {
  const int error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

// One side's turn; true if it is over, one way or the other.
bool Turn(SSL* ssl, bool& done, std::string& error) {
  if (done || !error.empty()) return true;
  const int result = SSL_do_handshake(ssl);
  done = result == 1;
  if (!done && !WantsMore(ssl, result)) error = TakeTlsError();
  return done || !error.empty();
}

}  // namespace

LoopbackHandshake RunHandshake(bssl::UniquePtr<SSL> client, bssl::UniquePtr<SSL> server) {
  LoopbackHandshake result;
  result.client = std::move(client);
  result.server = std::move(server);
  BIO* client_bio = nullptr;
  BIO* server_bio = nullptr;
  BIO_new_bio_pair(&client_bio, kPipeSizeBytes, &server_bio, kPipeSizeBytes);
  SSL_set_bio(result.client.get(), client_bio, client_bio);
  SSL_set_bio(result.server.get(), server_bio, server_bio);
  for (int turn = 0; turn < 20; ++turn) {
    const bool client_over = Turn(result.client.get(), result.client_done, result.client_error);
    const bool server_over = Turn(result.server.get(), result.server_done, result.server_error);
    if (client_over && server_over) break;
    // Each side may still have to read why the other gave up.
    if (turn > 10 && (client_over || server_over)) break;
  }
  if (result.client_done && !result.server_done) {
    char byte;
    const int got = SSL_read(result.client.get(), &byte, 1);
    if (got <= 0 && !WantsMore(result.client.get(), got)) result.client_error = TakeTlsError();
  }
  return result;
}

std::string Send(SSL* from, SSL* to, absl::string_view text) {
  if (SSL_write(from, text.data(), static_cast<int>(text.size())) != static_cast<int>(text.size())) return "";
  std::string read(text.size(), '\0');
  const int got = SSL_read(to, read.data(), static_cast<int>(read.size()));
  return got <= 0 ? "" : read.substr(0, static_cast<size_t>(got));
}

}  // namespace lanyard
