#include "identity/tls/handshake.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/tls/client_sessions.h"
#include "identity/tls/connection_state.h"

namespace lanyard {
namespace {

// RFC 8446 section 6.2.
uint8_t AlertFor(SvidDefect defect) {
  switch (defect) {
    case SvidDefect::kExpired:
    case SvidDefect::kNotYetValid:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case SvidDefect::kUnknownTrustDomain:
    case SvidDefect::kUntrusted:
      return SSL_AD_UNKNOWN_CA;
    default:
      return SSL_AD_BAD_CERTIFICATE;
  }
}

bool HasProtocol(const SSL* ssl) {
  const uint8_t* protocol;
  unsigned size_bytes;
  SSL_get0_alpn_selected(ssl, &protocol, &size_bytes);
  return size_bytes != 0;
}

absl::Status NoProtocolError() {
  return absl::FailedPreconditionError(
      "the peer agreed on no application protocol (ALPN), which this channel needs: another server answers, or a proxy "
      "that captures this port");
}

// `offered` is a list of length-prefixed names, checked by BoringSSL.
bool Offers(absl::Span<const uint8_t> offered, absl::string_view protocol, const uint8_t** out) {
  while (!offered.empty()) {
    const size_t size_bytes = offered[0];
    if (size_bytes == protocol.size() && std::memcmp(&offered[1], protocol.data(), size_bytes) == 0) {
      *out = &offered[1];
      return true;
    }
    offered.remove_prefix(1 + size_bytes);
  }
  return false;
}

int SelectProtocol(SSL* ssl, const uint8_t** out, uint8_t* out_size, const uint8_t* in, unsigned in_size, void*) {
  ConnectionState* state = ConnectionState::Of(ssl);
  for (const std::string& protocol : state->shared->alpn) {
    if (Offers(absl::MakeConstSpan(in, in_size), protocol, out)) {
      *out_size = static_cast<uint8_t>(protocol.size());
      return SSL_TLSEXT_ERR_OK;
    }
  }
  if (!state->shared->alpn_required) return SSL_TLSEXT_ERR_NOACK;
  state->error = NoProtocolError();
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// SelectProtocol is not asked when a client offers no list at all.
enum ssl_select_cert_result_t CheckClientHello(const SSL_CLIENT_HELLO* hello) {
  ConnectionState* state = ConnectionState::Of(hello->ssl);
  const uint8_t* extension;
  size_t size_bytes;
  if (!state->shared->alpn_required ||
      SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension,
                                           &size_bytes)) {
    return ssl_select_cert_success;
  }
  state->error = NoProtocolError();
  return ssl_select_cert_error;
}

// What BoringSSL refuses by itself, before it asks VerifyPeer; named when it sends the alert.
void NoteAlert(const SSL* ssl, int type, int value) {
  if (type != SSL_CB_WRITE_ALERT || (value >> 8) != SSL3_AL_FATAL) return;
  ConnectionState* state = ConnectionState::Of(ssl);
  const uint32_t error = ERR_peek_last_error();
  if (state == nullptr || !state->error.ok() || ERR_GET_LIB(error) != ERR_LIB_SSL) return;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      state->error = SvidError(SvidDefect::kMalformed, "the peer sent no certificate");
      return;
    case SSL_R_KEY_USAGE_BIT_INCORRECT:
      state->error = SvidError(SvidDefect::kBadKeyUsage, "the peer's certificate has no key usage digitalSignature");
      return;
    case SSL_R_CERT_LENGTH_MISMATCH:
    case SSL_R_CANNOT_PARSE_LEAF_CERT:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
      state->error = SvidError(SvidDefect::kMalformed, "the peer's certificate cannot be parsed");
      return;
    default:
      return;
  }
}

size_t TicketOverhead(SSL*) { return TicketKeys::kOverheadBytes; }

int SealTicket(SSL* ssl, uint8_t* out, size_t* out_size, size_t max_out_size, const uint8_t* in, size_t in_size) {
  const auto sealed = ConnectionState::Of(ssl)->shared->tickets.Seal(absl::MakeConstSpan(in, in_size),
                                                                     absl::MakeSpan(out, max_out_size));
  if (!sealed) return 0;
  *out_size = *sealed;
  return 1;
}

// A resumed client is verified here, by the certificates in its ticket. Where they no longer hold the
// ticket is ignored, and the full handshake that follows says why.
bool VerifyResumed(SSL* ssl, ConnectionState* state, absl::Span<const uint8_t> ticket) {
  const TlsShared& shared = *state->shared;
  const absl::Time now = shared.clock.Now();
  if (shared.svid == nullptr || now > shared.svid->not_after()) return false;
  const bssl::UniquePtr<SSL_SESSION> session(
      SSL_SESSION_from_bytes(ticket.data(), ticket.size(), shared.ctx.get()));
  if (session == nullptr) return false;
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_SESSION_get0_peer_certificates(session.get());
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0) {
    return (SSL_get_verify_mode(ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0;
  }
  auto verified = shared.cache->Verify(chain, shared.bundles, shared.bundle_version, now);
  if (!verified.ok()) return false;
  state->peer = *std::move(verified);
  state->peer_from_ticket = true;
  return true;
}

enum ssl_ticket_aead_result_t OpenTicket(SSL* ssl, uint8_t* out, size_t* out_size, size_t max_out_size,
                                         const uint8_t* in, size_t in_size) {
  ConnectionState* state = ConnectionState::Of(ssl);
  const auto opened =
      state->shared->tickets.Open(absl::MakeConstSpan(in, in_size), absl::MakeSpan(out, max_out_size));
  if (!opened || !VerifyResumed(ssl, state, absl::MakeConstSpan(out, *opened))) {
    ERR_clear_error();
    return ssl_ticket_aead_ignore_ticket;
  }
  *out_size = *opened;
  return ssl_ticket_aead_success;
}

constexpr SSL_TICKET_AEAD_METHOD kTicketMethod = {TicketOverhead, SealTicket, OpenTicket};

// 1: ours now.
int KeepSession(SSL* ssl, SSL_SESSION* session) {
  ConnectionState* state = ConnectionState::Of(ssl);
  ++state->tickets;
  const std::shared_ptr<SessionStore> store = state->sessions.lock();
  if (store == nullptr || state->peer == nullptr || !SSL_SESSION_is_resumable(session)) return 0;
  if (state->tickets > ClientSessionCache::kMaxSessionsPerPeer) return 0;  // each would push out another of its own
  store->Put(state->session_key, bssl::UniquePtr<SSL_SESSION>(session), state->peer->not_after);
  return 1;
}

}  // namespace

enum ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* out_alert) {
  ConnectionState* state = ConnectionState::Of(ssl);
  const TlsShared& shared = *state->shared;
  state->peer_from_ticket = false;
  state->peer = nullptr;
  if (!SSL_is_server(ssl) && shared.alpn_required && !HasProtocol(ssl)) {
    state->error = NoProtocolError();
    *out_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return ssl_verify_invalid;
  }
  auto verified =
      shared.cache->Verify(SSL_get0_peer_certificates(ssl), shared.bundles, shared.bundle_version, shared.clock.Now());
  // Parsing may leave errors behind that are not the handshake's.
  ERR_clear_error();
  if (!verified.ok()) {
    state->error = verified.status();
    *out_alert = AlertFor(DefectOf(state->error));
    return ssl_verify_invalid;
  }
  state->peer = *std::move(verified);
  return ssl_verify_ok;
}

void InstallHandshakeCallbacks(SSL_CTX* ctx) {
  SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, VerifyPeer);
  SSL_CTX_set_reverify_on_resume(ctx, 1);
  SSL_CTX_set_alpn_select_cb(ctx, SelectProtocol, nullptr);
  SSL_CTX_set_select_certificate_cb(ctx, CheckClientHello);
  SSL_CTX_set_info_callback(ctx, NoteAlert);
  SSL_CTX_set_ticket_aead_method(ctx, &kTicketMethod);
  SSL_CTX_sess_set_new_cb(ctx, KeepSession);
}

}  // namespace lanyard
