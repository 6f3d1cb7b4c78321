// Two SSLs that talk through memory: the whole of a TLS connection without a socket, for tests.
#pragma once

#include <string>

#include <openssl/ssl.h>

#include "absl/strings/string_view.h"

namespace lanyard {

struct LoopbackHandshake {
  bssl::UniquePtr<SSL> client;
  bssl::UniquePtr<SSL> server;
  bool client_done = false;
  bool server_done = false;
  std::string client_error;   // TakeTlsError of a side that failed
  std::string server_error;

  bool Succeeded() const { return client_done && server_done; }
};

// Runs the handshake until both sides are done or one has failed, and the other has read its alert.
LoopbackHandshake RunHandshake(bssl::UniquePtr<SSL> client, bssl::UniquePtr<SSL> server);

// What `to` reads after `from` wrote `text`; "" when either fails. `to` also takes in tickets on the way.
std::string Send(SSL* from, SSL* to, absl::string_view text);

}  // namespace lanyard
