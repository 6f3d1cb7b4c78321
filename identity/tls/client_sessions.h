// TLS sessions that a client may resume: fewer signatures when it dials a peer again.
#pragma once

#include <cstddef>
#include <memory>

#include <openssl/base.h>

#include "absl/strings/string_view.h"

namespace lanyard {

class SessionStore;

// Not thread-safe: one a worker; every SSL that was attached must be driven on the same thread, and may
// outlive the cache. Each session is used once, and only under the identity and bundles it was made with.
// The server's SVID is verified anew on every resumption.
class ClientSessionCache {
 public:
  static constexpr size_t kDefaultMaxSessions = 512;
  static constexpr size_t kMaxSessionsPerPeer = 8;
  explicit ClientSessionCache(size_t max_sessions = kDefaultMaxSessions);
  ~ClientSessionCache();

  // Before the handshake of `ssl` (from TlsContext::NewClient): offers a session kept for `peer_key`, if one is
  // usable, and keeps those the server sends. `peer_key` is whatever names the server to the caller, as its address
  // and port. Does nothing where the context has session_resumption off.
  void Attach(SSL* ssl, absl::string_view peer_key);

  size_t size() const;

 private:
  std::shared_ptr<SessionStore> store_;
};

}  // namespace lanyard
