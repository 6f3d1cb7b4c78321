// One identity turned into BoringSSL contexts: an SVID to show, bundles to verify with.
// TLS 1.3 only; both sides present an SVID; the peer is verified by VerifySvid, nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <openssl/base.h>
#include <openssl/pool.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/base/clock.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/verify.h"
#include "identity/tls/verify_cache.h"

namespace lanyard {

struct TlsShared;

// Immutable after Create, shared by connections; thread-safe. Holds its SVID and bundles.
class TlsContext {
 public:
  struct Options {
    // In order of preference; the server picks its own first match, and goes on without one
    // when the client offers none (a plain mutual TLS peer).
    std::vector<std::string> alpn = {};
    // Refuse a peer that agrees on no protocol (gRPC needs "h2").
    bool alpn_required = false;
    bool session_resumption = true;   // tickets; the peer is re-verified on every resumption
  };

  // Fails when the SVID does not match its key, or does not verify against its own trust domain's
  // bundle at clock.Now(): an identity that nobody could verify is never used.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(X509Svid svid, BundleSet bundles,
                                                                  std::shared_ptr<VerifyCache> cache,
                                                                  const Clock& clock, Options options);
  // Client only, without an SVID, verifying the server all the same: how an agent attests for the first time.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> CreateAnonymousClient(BundleSet bundles,
                                                                                 std::shared_ptr<VerifyCache> cache,
                                                                                 const Clock& clock, Options options);
  ~TlsContext();

  // New SSL in accept or connect state, ready to be given a BIO; null only for want of memory. It holds a
  // reference to what it needs of this context. Its modes are SSL_MODE_ENABLE_PARTIAL_WRITE (SSL_write
  // returns after one record) and SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER; its handshake configuration is shed.
  // A server whose `require_client_svid` is false lets an anonymous client in (attestation); PeerOf is then null.
  bssl::UniquePtr<SSL> NewServer(bool require_client_svid = true) const;
  bssl::UniquePtr<SSL> NewClient() const;

  // Whether the peer of `ssl` (a connection of this context or an older one), by the certificates it presented
  // then, is still who it was by this context's bundles, as of `now`: what an open connection is asked when
  // bundles change. Errors carry a SvidDefect; an anonymous peer, who has nothing to withdraw, is OK.
  // Without `now`: as of the clock.
  absl::Status Reverify(const SSL* ssl) const;
  absl::Status Reverify(const SSL* ssl, absl::Time now) const;
  // Of a chain that a peer showed, leaf first.
  absl::Status Reverify(const STACK_OF(CRYPTO_BUFFER)* chain, absl::Time now) const;

  const X509Svid* svid() const;              // null for an anonymous client
  const BundleSet& bundles() const;
  const std::string& bundle_version() const;
  const Clock& clock() const;

 private:
  explicit TlsContext(std::shared_ptr<const TlsShared> shared);
  std::shared_ptr<const TlsShared> shared_;
};

// Who the peer proved to be; null until the handshake is complete, and for an anonymous peer.
// The pointer lives as long as the SSL.
const VerifiedSvid* PeerOf(const SSL* ssl);
// The same, shared: outlives the SSL.
std::shared_ptr<const VerifiedSvid> SharedPeerOf(const SSL* ssl);

// Client: how many session tickets the server has sent. Zero without session_resumption.
size_t TicketsFromPeer(const SSL* ssl);

// Why this side refused the peer, when the handshake failed for that; OK otherwise. Carries a
// SvidDefect ("peer sent no certificate" is kMalformed), but none when ALPN is what the peer lacked.
absl::Status PeerVerificationError(const SSL* ssl);

// The newest error of this thread's BoringSSL queue as one phrase ("TLSV1_ALERT_UNKNOWN_CA"); clears the queue.
std::string TakeTlsError();

}  // namespace lanyard
