#include "identity/tls/tls_context.h"

#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/tls/connection_state.h"
#include "identity/tls/handshake.h"

namespace lanyard {
namespace {

// Ed25519 is not in BoringSSL's own list. RSA PKCS#1 is for the signatures of certificates only: TLS 1.3
// forbids it in a handshake, and BoringSSL refuses it there.
constexpr uint16_t kVerifyAlgorithms[] = {
    SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP256R1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384,
    SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,
    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,
    SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_RSA_PKCS1_SHA384,
    SSL_SIGN_RSA_PKCS1_SHA512,
};

// A peer's whole Certificate message. Ten certificates (kMaxPathLength) with RSA keys of 4096 bits are 16 KiB; what
// is sent is read before the peer has proved anything.
constexpr size_t kMaxChainSizeBytes = 24 << 10;

// Certificates that many connections share (a peer's intermediate, above all) are held once a process.
CRYPTO_BUFFER_POOL* CertificatePool() {
  static CRYPTO_BUFFER_POOL* const pool = CRYPTO_BUFFER_POOL_new();
  return pool;
}

bool SetGroups(SSL_CTX* ctx) {
#if defined(SSL_GROUP_X25519_MLKEM768)
  constexpr uint16_t kGroups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519, SSL_GROUP_SECP256R1};
  return SSL_CTX_set1_group_ids(ctx, kGroups, std::size(kGroups));
#else
  constexpr int kGroups[] = {NID_X25519, NID_X9_62_prime256v1};
  return SSL_CTX_set1_curves(ctx, kGroups, std::size(kGroups));
#endif
}

bool SetIdentity(SSL_CTX* ctx, const X509Svid& svid) {
  std::vector<CRYPTO_BUFFER*> chain;
  for (const Certificate& certificate : svid.chain()) chain.push_back(certificate.buffer());
  return SSL_CTX_set_chain_and_key(ctx, chain.data(), chain.size(), svid.key().evp(), nullptr);
}

bool SetSessions(SSL_CTX* ctx, const TlsShared& shared) {
  if (!shared.session_resumption) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(
      ctx, shared.session_resumption ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_psk_dhe_timeout(ctx, static_cast<uint32_t>(absl::ToInt64Seconds(TicketKeys::kTicketLifetime)));
  // Each connection uses up one ticket and is given one.
  SSL_CTX_set_num_tickets(ctx, 1);
  SSL_CTX_set_early_data_enabled(ctx, 0);
  return SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const uint8_t*>(shared.session_context.data()),
                                        shared.session_context.size());
}

bool SetProtocols(SSL_CTX* ctx, const std::vector<std::string>& alpn) {
  std::string wire;
  for (const std::string& protocol : alpn) {
    if (protocol.empty() || protocol.size() > 255) return false;
    absl::StrAppend(&wire, std::string(1, static_cast<char>(protocol.size())), protocol);
  }
  // Returns zero on success, unlike its neighbours.
  return wire.empty() || SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const uint8_t*>(wire.data()), wire.size()) == 0;
}

// A session belongs to who we are and whom we trust: after a change of either none is resumed.
std::string SessionContext(const TlsShared& shared, absl::string_view role) {
  const std::string identity =
      absl::StrCat(role, shared.svid ? shared.svid->leaf().fingerprint() : "", shared.bundle_version);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(identity.data()), identity.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

// Anonymous clients' sessions must not be resumed where an SVID is required.
constexpr absl::string_view kMutualRole = "mutual";
constexpr absl::string_view kOptionalRole = "optional";

absl::Status Configure(TlsShared& shared, TlsContext::Options options) {
  shared.alpn = std::move(options.alpn);
  shared.alpn_required = options.alpn_required;
  shared.session_resumption = options.session_resumption;
  shared.session_context = SessionContext(shared, kMutualRole);
  shared.ctx.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* ctx = shared.ctx.get();
  if (ctx == nullptr) return absl::ResourceExhaustedError("no memory for a TLS context");
  SSL_CTX_set0_buffer_pool(ctx, CertificatePool());
  SSL_CTX_set_max_cert_list(ctx, kMaxChainSizeBytes);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  InstallHandshakeCallbacks(ctx);
  const bool done = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
                    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) && SetGroups(ctx) &&
                    SSL_CTX_set_verify_algorithm_prefs(ctx, kVerifyAlgorithms, std::size(kVerifyAlgorithms)) &&
                    SetSessions(ctx, shared) && SetProtocols(ctx, shared.alpn) &&
                    (shared.svid == nullptr || SetIdentity(ctx, *shared.svid));
  if (!done) return absl::InvalidArgumentError(absl::StrCat("BoringSSL refuses this TLS context: ", TakeTlsError()));
  return absl::OkStatus();
}

bssl::UniquePtr<SSL> NewConnection(const std::shared_ptr<const TlsShared>& shared) {
  bssl::UniquePtr<SSL> ssl(SSL_new(shared->ctx.get()));
  if (ssl == nullptr) return nullptr;
  auto state = std::make_unique<ConnectionState>();
  state->shared = shared;
  if (!ConnectionState::Attach(ssl.get(), std::move(state))) return nullptr;
  SSL_set_shed_handshake_config(ssl.get(), 1);
  SSL_set_renegotiate_mode(ssl.get(), ssl_renegotiate_never);
  return ssl;
}

}  // namespace

TlsContext::TlsContext(std::shared_ptr<const TlsShared> shared) : shared_(std::move(shared)) {}
TlsContext::~TlsContext() = default;

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(X509Svid svid, BundleSet bundles,
                                                                     std::shared_ptr<VerifyCache> cache,
                                                                     const Clock& clock, Options options) {
  const absl::StatusOr<VerifiedSvid> own = VerifySvid(svid.chain(), bundles, clock.Now());
  if (!own.ok()) {
    return SvidError(DefectOf(own.status()),
                     absl::StrCat("our own SVID ", svid.id().ToString(), " does not verify against our own bundle: ",
                                  own.status().message()));
  }
  auto shared = std::make_shared<TlsShared>(std::move(bundles), std::move(cache), clock);
  shared->svid = std::make_unique<const X509Svid>(std::move(svid));
  if (absl::Status status = Configure(*shared, std::move(options)); !status.ok()) return status;
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(shared)));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::CreateAnonymousClient(BundleSet bundles,
                                                                                    std::shared_ptr<VerifyCache> cache,
                                                                                    const Clock& clock,
                                                                                    Options options) {
  auto shared = std::make_shared<TlsShared>(std::move(bundles), std::move(cache), clock);
  if (absl::Status status = Configure(*shared, std::move(options)); !status.ok()) return status;
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(shared)));
}

bssl::UniquePtr<SSL> TlsContext::NewServer(bool require_client_svid) const {
  bssl::UniquePtr<SSL> ssl = NewConnection(shared_);
  if (ssl == nullptr) return nullptr;
  SSL_set_accept_state(ssl.get());
  if (require_client_svid) return ssl;
  const std::string context = SessionContext(*shared_, kOptionalRole);
  SSL_set_custom_verify(ssl.get(), SSL_VERIFY_PEER, VerifyPeer);
  if (!SSL_set_session_id_context(ssl.get(), reinterpret_cast<const uint8_t*>(context.data()), context.size())) {
    return nullptr;
  }
  return ssl;
}

bssl::UniquePtr<SSL> TlsContext::NewClient() const {
  bssl::UniquePtr<SSL> ssl = NewConnection(shared_);
  if (ssl != nullptr) SSL_set_connect_state(ssl.get());
  return ssl;
}

const X509Svid* TlsContext::svid() const { return shared_->svid.get(); }
const BundleSet& TlsContext::bundles() const { return shared_->bundles; }
const std::string& TlsContext::bundle_version() const { return shared_->bundle_version; }
const Clock& TlsContext::clock() const { return shared_->clock; }

std::shared_ptr<const VerifiedSvid> SharedPeerOf(const SSL* ssl) {
  // Before the end of the handshake the peer has shown a certificate (or a ticket), not that it is its own.
  if (SSL_in_init(ssl)) return nullptr;
  const ConnectionState* state = ConnectionState::Of(ssl);
  if (state->peer_from_ticket && !SSL_session_reused(ssl)) return nullptr;
  return state->peer;
}

const VerifiedSvid* PeerOf(const SSL* ssl) { return SharedPeerOf(ssl).get(); }

size_t TicketsFromPeer(const SSL* ssl) { return ConnectionState::Of(ssl)->tickets; }

absl::Status PeerVerificationError(const SSL* ssl) { return ConnectionState::Of(ssl)->error; }

absl::Status TlsContext::Reverify(const SSL* ssl) const { return Reverify(ssl, shared_->clock.Now()); }

absl::Status TlsContext::Reverify(const SSL* ssl, absl::Time now) const {
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl);
  return chain == nullptr ? absl::OkStatus() : Reverify(chain, now);
}

absl::Status TlsContext::Reverify(const STACK_OF(CRYPTO_BUFFER)* chain, absl::Time now) const {
  return shared_->cache->Verify(chain, shared_->bundles, shared_->bundle_version, now).status();
}

std::string TakeTlsError() {
  const uint32_t error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  std::string text = error == 0 ? "no TLS error" : reason != nullptr ? reason : absl::StrCat("TLS error ", error);
  ERR_clear_error();
  return text;
}

}  // namespace lanyard
