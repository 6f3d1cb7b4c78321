#include "identity/tls/client_sessions.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "identity/tls/connection_state.h"
#include "identity/tls/session_store.h"

namespace lanyard {

ClientSessionCache::ClientSessionCache(size_t max_sessions)
    : store_(std::make_shared<SessionStore>(max_sessions, kMaxSessionsPerPeer)) {}
ClientSessionCache::~ClientSessionCache() = default;

void ClientSessionCache::Attach(SSL* ssl, absl::string_view peer_key) {
  ConnectionState* state = ConnectionState::Of(ssl);
  if (!state->shared->session_resumption) return;
  state->session_key = absl::StrCat(state->shared->session_context, peer_key);
  state->sessions = store_;
  if (const bssl::UniquePtr<SSL_SESSION> session = store_->Take(state->session_key, state->shared->clock.Now())) {
    SSL_set_session(ssl, session.get());
  }
}

size_t ClientSessionCache::size() const { return store_->size(); }

}  // namespace lanyard
