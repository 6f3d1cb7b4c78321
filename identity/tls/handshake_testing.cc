#include "identity/tls/handshake_testing.h"

#include <openssl/bio.h>
#include <openssl/pool.h>
#include <stdlib.h>

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

TestHandshake RunHandshake(bssl::UniquePtr<SSL> client, bssl::UniquePtr<SSL> server) {
  TestHandshake result;
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

RawPeer::RawPeer(const std::vector<std::string>& chain_ders, EVP_PKEY* key)
    : ctx(SSL_CTX_new(TLS_with_buffers_method())) {
  SSL_CTX_set_custom_verify(ctx.get(), SSL_VERIFY_PEER, [](SSL*, uint8_t*) { return ssl_verify_ok; });
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> owned;
  std::vector<CRYPTO_BUFFER*> buffers;
  for (const std::string& der : chain_ders) {
    owned.emplace_back(CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
    buffers.push_back(owned.back().get());
  }
  if (!buffers.empty() && !SSL_CTX_set_chain_and_key(ctx.get(), buffers.data(), buffers.size(), key, nullptr)) abort();
}

bssl::UniquePtr<SSL> RawPeer::NewClient() const {
  bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
  SSL_set_connect_state(ssl.get());
  return ssl;
}

bssl::UniquePtr<SSL> RawPeer::NewServer() const {
  bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
  SSL_set_accept_state(ssl.get());
  return ssl;
}

std::vector<std::string> DerOf(const FakeLeaf& leaf) {
  std::vector<std::string> ders;
  for (const Certificate& certificate : leaf.chain) ders.push_back(certificate.der());
  return ders;
}

}  // namespace lanyard
