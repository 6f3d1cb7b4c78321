// Two SSLs that talk through memory: the whole of a TLS connection without a socket, for tests.
#pragma once

#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "absl/strings/string_view.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {

struct TestHandshake {
  bssl::UniquePtr<SSL> client;
  bssl::UniquePtr<SSL> server;
  bool client_done = false;
  bool server_done = false;
  std::string client_error;   // TakeTlsError of a side that failed
  std::string server_error;

  bool Succeeded() const { return client_done && server_done; }
};

// Runs the handshake until both sides are done or one has failed, and the other has read its alert.
TestHandshake RunHandshake(bssl::UniquePtr<SSL> client, bssl::UniquePtr<SSL> server);

// What `to` reads after `from` wrote `text`; "" when either fails. `to` also takes in tickets on the way.
std::string Send(SSL* from, SSL* to, absl::string_view text);

// A peer that is not Lanyard, so that it can show anything at all; it trusts everybody.
struct RawPeer {
  bssl::UniquePtr<SSL_CTX> ctx;

  explicit RawPeer(const std::vector<std::string>& chain_ders = {}, EVP_PKEY* key = nullptr);
  bssl::UniquePtr<SSL> NewClient() const;
  bssl::UniquePtr<SSL> NewServer() const;
};
std::vector<std::string> DerOf(const FakeLeaf& leaf);

}  // namespace lanyard
