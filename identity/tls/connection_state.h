// What one SSL carries besides BoringSSL's own state: its context, and what verification said.
// Private to identity/tls.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <openssl/ssl.h>

#include "absl/status/status.h"
#include "identity/base/clock.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"
#include "identity/tls/session_store.h"
#include "identity/tls/ticket_keys.h"
#include "identity/tls/verify_cache.h"

namespace lanyard {

// Everything that the connections of one context share; immutable but for the ticket keys, which lock.
struct TlsShared {
  TlsShared(BundleSet bundles_in, std::shared_ptr<VerifyCache> cache_in, const Clock& clock_in)
      : bundles(std::move(bundles_in)),
        bundle_version(bundles.ContentVersion()),
        cache(std::move(cache_in)),
        clock(clock_in),
        tickets(clock_in) {}

  std::unique_ptr<const X509Svid> svid;   // null: an anonymous client
  const BundleSet bundles;
  const std::string bundle_version;
  const std::shared_ptr<VerifyCache> cache;
  const Clock& clock;
  TicketKeys tickets;
  std::vector<std::string> alpn;
  bool alpn_required = false;
  bool session_resumption = true;
  std::string session_context;            // own identity and bundle version, hashed
  bssl::UniquePtr<SSL_CTX> ctx;
};

// Owned by the SSL (ex_data); used on whatever thread drives that SSL.
struct ConnectionState {
  std::shared_ptr<const TlsShared> shared;
  std::shared_ptr<const VerifiedSvid> peer;
  absl::Status error;
  // `peer` came out of a ticket: it counts only once the handshake has proved the ticket's secret.
  bool peer_from_ticket = false;
  // Client: where the server's tickets go.
  std::weak_ptr<SessionStore> sessions;
  std::string session_key;
  size_t tickets = 0;  // that the server has sent

  static ConnectionState* Of(const SSL* ssl) { return static_cast<ConnectionState*>(SSL_get_ex_data(ssl, Index())); }
  // For the life of `ssl`, which must have none yet; false for want of memory.
  static bool Attach(SSL* ssl, std::unique_ptr<ConnectionState> state) {
    if (!SSL_set_ex_data(ssl, Index(), state.get())) return false;
    state.release();
    return true;
  }

 private:
  static int Index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, Free);
    return index;
  }
  static void Free(void*, void* state, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<ConnectionState*>(state);
  }
};

}  // namespace lanyard
